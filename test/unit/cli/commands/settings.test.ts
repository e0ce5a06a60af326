// What settings, tokens and a function's configuration look like to people, where one line says more than the answer's body.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Asked, type FakeGateway, runFn, startFakeGateway } from '../../../support/run-fn.ts'
import { sampleFunction } from './samples.ts'

let gateway: FakeGateway
beforeAll(async () => {
  gateway = await startFakeGateway({
    'GET /v1/functions/full': {
      body: {
        ...sampleFunction,
        versions: sampleFunction.versions.map((version) => ({
          ...version,
          config: {
            ...version.config,
            volumes: [
              { kind: 'named', name: 'uploads', path: '/data', readOnly: false },
              { kind: 'tmpfs', path: '/cache', sizeBytes: 64 * 1024 ** 2 },
            ],
            secrets: ['API_KEY'],
            retryAttempts: 3,
            retry: { on: ['crash'], backoffMs: 1000, maxBackoffMs: 60_000, maxAgeMs: 3_600_000 },
            rate: { calls: 10, perMs: 1000 },
            onSuccess: 'other',
            maxLimits: { memory: 256 * 1024 ** 2 },
          },
        })),
      },
    },
    'GET /v1/config': {
      body: [
        { name: 'FN_STEMS', value: '7' },
        { name: 'FN_TOKEN', value: '(set)' },
      ],
    },
    'GET /v1/tokens': {
      body: ['a', 'shop'].map((namespace) => ({
        namespace,
        name: 'ci',
        scopes: ['invoke'],
        createdAt: '2026-01-02T03:04:05Z',
        expiresAt: null,
        rate: { count: 100, windowMs: 1000 },
      })),
    },
  })
})
afterAll(() => gateway.close())

const fn = (...args: string[]) => runFn(args, { env: { FN_URL: gateway.url, FN_TOKEN: 'fn_t' } })
const last = (): Asked => gateway.asked.at(-1)!

describe('settings', () => {
  test('config tells where each value came from, and never shows the token', async () => {
    const { stdout } = await fn('config', '--json')
    const rows = JSON.parse(stdout) as { name: string; value: string; source: string }[]
    expect(rows.find((row) => row.name === 'FN_URL')).toMatchObject({ value: gateway.url, source: 'environment' })
    expect(stdout).not.toContain('fn_t"')
    expect((await fn('config')).stdout).toMatch(/^FN_RECLAIM_AFTER +30s +default +30s +duration /m)
  })

  test('config shows what the running platform has where that is another value than this shell’s', async () => {
    const { stdout, stderr } = await fn('config')
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^NAME +VALUE +SOURCE +DEFAULT +UNIT +PLATFORM +WHAT/)
    expect(stdout).toMatch(/^FN_STEMS +2 +default +2 +number +7 +booted/m)
    const rows = JSON.parse((await fn('config', '--json')).stdout) as { name: string; platform: string | null }[]
    expect(rows.find(({ name }) => name === 'FN_STEMS')?.platform).toBe('7')
    expect(rows.find(({ name }) => name === 'FN_TOKEN')?.platform).toBeNull()
  })

  test('config needs no platform', async () => {
    const { status, stdout, stderr } = await runFn(['config'], { env: { FN_URL: 'http://127.0.0.1:1' } })
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^NAME +VALUE +SOURCE/)
  })
})

test('tokens are listed with their namespaces, rates as they are given', async () => {
  const { stdout } = await fn('token', 'ls')
  expect(stdout).toMatch(/^a +ci +invoke +100 in 1s +never/m)
  expect(stdout).toMatch(/^shop +ci +invoke/m)
  expect(last().headers['fn-namespace']).toBeUndefined()
  await fn('token', 'ls', '--namespace', 'default')
  expect(last().headers['fn-namespace']).toBe('default')
})

test('get shows volumes, secrets, retries, rates, destinations and maxima of a function', async () => {
  const { stdout } = await fn('get', 'full')
  expect(stdout).toMatch(/^volumes +uploads:\/data:rw tmpfs:\/cache:size=64m$/m)
  expect(stdout).toMatch(/^secrets +API_KEY$/m)
  expect(stdout).toMatch(/^retry +3 runs at most, after crash, first wait 1s, longest 1m, within 1h$/m)
  expect(stdout).toMatch(/^rate +10 in 1s$/m)
  expect(stdout).toMatch(/^on success +other$/m)
  expect(stdout).toMatch(/^max limits +memory 256m$/m)
})
