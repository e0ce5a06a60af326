// `fn.json` as people write it, and as they mistype it.
import { describe, expect, test } from 'vitest'
import { RegistryError } from '../../../../worker/registry/api.ts'
import { parseFunctionConfig } from '../../../../worker/registry/config.ts'
import { functionConfigSchema } from '../../../../worker/registry/config-shape.ts'
import { sampleConfig } from '../../../support/samples.ts'

function problemsOf(manifest: unknown, name = 'hello'): readonly string[] {
  try {
    parseFunctionConfig(manifest, name)
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'CONFIG_INVALID') return error.problems
    throw error
  }
  throw new Error('expected CONFIG_INVALID')
}

describe('a configuration', () => {
  test('that says nothing gets every default', () => {
    expect(parseFunctionConfig({}, 'hello')).toEqual(sampleConfig('hello'))
  })

  test('is read in its text form', () => {
    const manifest = {
      $schema: './fn.schema.json',
      name: 'other',
      runtime: 'node24',
      entry: 'index.ts',
      form: 'lambda',
      timeout: '15m',
      initTimeout: '500ms',
      concurrency: 7,
      sandboxConcurrency: 2,
      minWarm: 1,
      keepAlive: '0',
      freezeGrace: '1.5s',
      isolation: 'function',
      leftovers: 'freeze',
      env: { KEY: 'value', _x1: '' },
      network: 'none',
      writableRoot: '64m',
      limits: { memory: '64m', cpus: 0.5, ulimits: ['nofile=64:128'] },
      maxLimits: { memory: '1g' },
      retry: { attempts: 5 },
      public: false,
    }
    expect(parseFunctionConfig(manifest, 'hello')).toMatchObject({
      name: 'hello',
      entry: 'index.ts',
      form: 'lambda',
      timeoutMs: 900_000,
      initTimeoutMs: 500,
      concurrency: 7,
      sandboxConcurrency: 2,
      minWarm: 1,
      keepAliveMs: 0,
      freezeGraceMs: 1_500,
      env: { KEY: 'value', _x1: '' },
      writableRootBytes: 64 * 1024 ** 2,
      limits: { memory: 64 * 1024 ** 2, memorySwap: 128 * 1024 ** 2, cpus: 0.5 },
      maxLimits: { memory: 1024 ** 3 },
      retryAttempts: 5,
      public: false,
    })
  })
})

describe('retry and rate', () => {
  test('take what is not said from the platform, and nothing when only the number of runs is', () => {
    const config = parseFunctionConfig({ retry: { backoff: '10m', on: ['crash'] }, rate: { calls: 5, per: '1m' } }, 'f')
    expect(config.retry).toEqual({ on: ['crash'], backoffMs: 600_000, maxBackoffMs: 600_000, maxAgeMs: 21_600_000 })
    expect(config.rate).toEqual({ calls: 5, perMs: 60_000 })
    const plain = parseFunctionConfig({ retry: 7 }, 'f')
    expect([plain.retryAttempts, plain.retry, plain.rate]).toEqual([7, undefined, undefined])
  })
})

describe('problems', () => {
  test('are all told at once', () => {
    expect(problemsOf({ timeout: '20m', limits: { pids: 0 }, timeot: 1 })).toEqual([
      'unknown key timeot; did you mean timeout?',
      'timeout: expected a duration from 1ms to 15m, got "20m"',
      expect.stringContaining('limits.pids: '),
    ])
  })

  test.each([
    [{ memory: '64m' }, 'unknown key memory; did you mean limits.memory?'],
    [{ limits: { memry: '64m' } }, 'unknown key limits.memry; did you mean memory?'],
    [{ retry: { attempt: 1 } }, 'unknown key retry.attempt; did you mean attempts?'],
    [{ retry: 0 }, 'retry.attempts: expected a whole number from 1 to 100, got 0'],
    [{ retry: 'often' }, 'retry: expected {"attempts": 3} or 3, got "often"'],
    [
      { retry: { on: ['5xx', 'rain'] } },
      'retry.on.1: expected "crash" or "oom" or "timeout" or "5xx" or "429" or "4xx", got "rain"',
    ],
    [{ rate: { calls: 10 } }, 'rate.per: expected a duration from 10ms to 24h such as "30s", got nothing'],
    [{ rate: { cals: 1, calls: 1, per: '1s' } }, 'unknown key rate.cals; did you mean calls?'],
    [{ concurrency: 0 }, 'concurrency: expected a whole number from 1 to 10000, got 0'],
    [{ concurrency: '5' }, 'concurrency: expected a whole number from 1 to 10000, got "5"'],
    [{ sandboxConcurrency: 1_001 }, 'sandboxConcurrency: expected a whole number from 1 to 1000, got 1001'],
    [{ timeout: 30 }, 'timeout: expected a duration from 1ms to 15m such as "30s", got 30'],
    [{ timeout: '30' }, 'timeout: expected a duration such as 250ms, 30s, 5m or 6h, got "30"'],
    [{ writableRoot: '1k' }, 'writableRoot: expected a size from 1m to 64g, got "1k"'],
    [{ runtime: 'python' }, 'runtime: expected "node24", got "python"'],
    [{ isolation: 'namespace' }, 'isolation: expected "function" or "call", got "namespace"'],
    [{ leftovers: 'bill' }, 'leftovers: expected "freeze" or "kill", got "bill"'],
    [
      { isolation: 'call', sandboxConcurrency: 2 },
      'isolation: "call" needs calls one at a time in a sandbox: leave sandboxConcurrency at 1',
    ],
    [{ public: 'no' }, 'public: expected true or false, got "no"'],
    [{ env: { '1A': 'x' } }, 'env.1A: expected a name of letters, digits and _, not starting with a digit'],
    [{ env: { A: 1 } }, 'env.A: expected a text, got 1'],
    [{ env: { A: { toString: '' } } }, 'env.A: expected a text, got {"toString":""}'],
    [{ env: { A: 'a\0b' } }, 'env.A: a NUL byte cannot be in the environment'],
    [{ env: 'A=1' }, 'env: expected an object of texts, got "A=1"'],
    [{ limits: [] }, 'limits: expected an object of limits, got a list'],
    [{ maxLimits: { tmpfs: '1g' } }, 'maxLimits.tmpfs: is fixed when a sandbox is created and cannot change per call'],
    [
      { secrets: ['1KEY'] },
      'secrets.0: expected a name of letters, digits and _, not starting with a digit, got "1KEY"',
    ],
    [
      { env: JSON.parse('{"__proto__":"x"}') as object },
      'env.__proto__: expected a name of letters, digits and _, not starting with a digit',
    ],
    [{ secrets: ['KEY'], env: { KEY: 'x' } }, 'secrets: KEY is in env as well'],
    [
      { volumes: ['data'] },
      'volumes.0: expected NAME:/path[:ro|rw], /host/folder:/path[:ro|rw] or tmpfs:/path:size=64m, got "data"',
    ],
    [{ volumes: ['a:/x', 'b:/x/y'] }, 'volumes: /x/y lies within /x'],
    [
      { network: 'My Net' },
      'network: expected "none", "bridge", "host" or the name of a network (a DNS label), got "My Net"',
    ],
    [
      { allowHosts: ['a.example'] },
      'allowHosts: the function has no network; say network "bridge", or the name of one, too',
    ],
    [
      { network: 'host', allowHosts: [] },
      'allowHosts: the host’s own network is not filtered; say network "bridge", or the name of one, too',
    ],
    [
      { network: 'bridge', allowHosts: ['10.0.0.0/33'] },
      'allowHosts.0: expected a network such as 10.1.0.0/16, got "10.0.0.0/33"',
    ],
    [
      { limits: { networkRxBps: '1m' } },
      'limits.networkRxBps: the function has no network; say network "bridge", or the name of one, too',
    ],
    [[], 'expected an object of settings, got a list'],
    [null, 'expected an object of settings, got null'],
  ])('%j', (manifest, problem) => {
    expect(problemsOf(manifest)).toEqual([problem])
  })

  test('of limits that contradict each other', () => {
    expect(problemsOf({ limits: { memory: '64m', memorySwap: '32m' } })).toEqual([
      expect.stringContaining('limits.memorySwap: '),
    ])
    expect(problemsOf({ limits: { deviceReadBps: ['1m'] } })).toEqual([expect.stringContaining('--scratch')])
  })

  test('of an environment that is too large', () => {
    const env = { A: 'x'.repeat(100_000), B: 'x'.repeat(100_000) }
    expect(problemsOf({ env })).toEqual([
      expect.stringMatching(/^env: expected at most 128k together, got 200002 bytes$/),
    ])
  })

  test('of a name are told apart', () => {
    expect(() => parseFunctionConfig({}, 'Hello')).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }))
  })
})

describe('the schema for editors', () => {
  test('knows every key, the limits, and that there are no others', () => {
    const schema = functionConfigSchema() as {
      additionalProperties: boolean
      properties: Record<string, { properties?: Record<string, unknown> }>
    }
    expect(schema.additionalProperties).toBe(false)
    expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(['timeout', 'limits', 'env', '$schema']))
    expect(Object.keys(schema.properties.limits!.properties!)).toContain('memorySwap')
  })
})
