import { describe, expect, test } from 'vitest'
import type { FunctionConfig, FunctionVersion } from '../../../../worker/api.ts'
import { readVersion, versionText } from '../../../../worker/queue/version-text.ts'
import { parseFunctionConfig } from '../../../../worker/registry/config.ts'
import { sampleConfig, versionOf } from '../../../support/samples.ts'

const again = (version: FunctionVersion) => readVersion(JSON.parse(versionText(version)))
const withConfig = (config: FunctionConfig) => ({ ...versionOf('hello'), config })
const GIB = 1024 ** 3

describe('a version comes back as it was', () => {
  test.each<[string, Partial<FunctionConfig>]>([
    ['that says nothing', {}],
    ['with limits of its own', { limits: { ...sampleConfig('x').limits, cpus: 0.5, memory: GIB, scratch: GIB } }],
    ['with rates of disks', { limits: { ...sampleConfig('x').limits, deviceReadBps: [{ device: null, rate: 4096 }] } }],
    ['with what a default lacks', { env: { A: 'b' }, maxLimits: { pids: 128 }, secrets: ['key'], keepAliveMs: 5 }],
    ['that has nothing of the usual', { form: 'lambda', public: false, network: 'bridge', timeoutMs: 1, minWarm: 2 }],
  ])('%s', (_what, changes) => {
    const version = withConfig(sampleConfig('hello', changes))
    expect(again(version)).toEqual(version)
  })

  test('as a deploy makes it', () => {
    const manifest = { entry: 'hello.ts', limits: { memory: '64m' }, env: { MODE: 'prod' }, retry: { attempts: 5 } }
    const version = withConfig(parseFunctionConfig(manifest, 'hello'))
    expect(again(version)).toEqual(version)
  })

  test('of an earlier release, without a key that others have: it does not get one', () => {
    const { minWarm: _none, ...older } = sampleConfig('hello')
    const { networkRxBps: _no, ...limits } = sampleConfig('hello').limits
    for (const config of [older, { ...sampleConfig('hello'), limits }] as FunctionConfig[])
      expect(again(withConfig(config))).toEqual(withConfig(config))
  })
})

test('what nearly every version says alike is not written: a quarter is left', () => {
  const version = withConfig(parseFunctionConfig({ entry: 'hello.ts', limits: { memory: '64m' } }, 'hello'))
  expect(versionText(version).length).toBeLessThan(JSON.stringify(version).length / 3)
})

test('a call that an earlier release queued is read as it was meant, whatever the defaults are now', () => {
  const text =
    '{"namespace":"n","name":"f","version":3,"image":"sha256:1","createdAt":"c","base":1,"config":{"name":"f","entry":"f.ts","limits":{"pids":8}}}'
  expect(readVersion(JSON.parse(text))).toEqual({
    ...{ namespace: 'n', name: 'f', version: 3, image: 'sha256:1', createdAt: 'c' },
    config: {
      ...{ name: 'f', entry: 'f.ts', runtime: 'node24', form: 'web', timeoutMs: 30_000, initTimeoutMs: 10_000 },
      ...{ concurrency: 100, sandboxConcurrency: 1, minWarm: 0, keepAliveMs: null, freezeGraceMs: null, env: {} },
      ...{ network: 'none', writableRootBytes: null, maxLimits: {}, retryAttempts: 3, public: true },
      limits: {
        ...{ cpuShares: 1024, cpus: null, cpusetCpus: null, memory: 128 * 1024 ** 2, memoryReservation: null },
        ...{ memorySwap: 256 * 1024 ** 2, memorySwappiness: null, pids: 8, blkioWeight: null, blkioWeightDevice: [] },
        ...{ deviceReadBps: [], deviceWriteBps: [], deviceReadIops: [], deviceWriteIops: [], ulimits: [] },
        ...{ tmpfs: 64 * 1024 ** 2, scratch: null, networkRxBps: null, networkTxBps: null },
      },
    },
  })
  const whole = versionOf('hello')
  expect(readVersion(JSON.parse(JSON.stringify(whole)))).toEqual(whole)
})

test('what leaves out what only a newer release knows is not read with today’s table', () => {
  const { base: _one, ...own } = JSON.parse(versionText(versionOf('hello')))
  expect(() => readVersion({ ...own, base: 2 })).toThrow('a newer release queued this call (table 2')
})
