import { describe, expect, test } from 'vitest'
import { type ConfigError, describeConfig, parseConfig } from '../../../cli/config.ts'

const poolOf = (env: Record<string, string>) => parseConfig(env, {}).pool

describe('the settings of the pool', () => {
  test('are 1,000 waiting calls of a function, 10,000 in all, a minute, and the machine’s own memory', () => {
    expect(poolOf({})).toEqual({
      sandboxMemoryBytes: null,
      queue: { perFunction: 1000, perHost: 10_000, maxWaitMs: 60_000 },
    })
  })
  test('are what the environment says, with its units', () => {
    const env = { FN_SANDBOX_MEMORY: '1g', FN_QUEUE_CALLS: '5', FN_QUEUE_HOST_CALLS: '9', FN_QUEUE_WAIT: '250ms' }
    expect(poolOf(env)).toEqual({
      sandboxMemoryBytes: 1024 ** 3,
      queue: { perFunction: 5, perHost: 9, maxWaitMs: 250 },
    })
    expect(describeConfig(env, {}).find((row) => row.name === 'FN_QUEUE_WAIT')).toMatchObject({
      ...{ value: '250ms', default: '60s', source: 'environment' },
    })
  })
  test('that make no sense are told all at once, with what was expected and what was got', () => {
    const env = { FN_SANDBOX_MEMORY: '10m', FN_QUEUE_CALLS: '0', FN_QUEUE_HOST_CALLS: '1.5', FN_QUEUE_WAIT: 'soon' }
    let problems: readonly string[] = []
    try {
      parseConfig(env, {})
    } catch (error) {
      problems = (error as ConfigError).problems
    }
    expect([...problems].sort()).toEqual([
      'FN_QUEUE_CALLS: expected a whole number from 1 to 1000000, got "0"',
      'FN_QUEUE_HOST_CALLS: expected a whole number from 1 to 1000000, got "1.5"',
      'FN_QUEUE_WAIT: expected a duration from 100ms to 1h, got "soon"',
      'FN_SANDBOX_MEMORY: expected a size of at least 128m, got "10m"',
    ])
  })
})
