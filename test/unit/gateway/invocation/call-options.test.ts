import { describe, expect, test } from 'vitest'
import { NO_OPTIONS, namespaceOf, parseCallOptions, prefersAsync } from '../../../../gateway/invocation/call-options.ts'
import { LIMITS } from '../../../../runtime/api.ts'
import { limitsWith } from '../../../support/fake-runtime.ts'
import { sampleConfig } from '../../../support/samples.ts'

const MIB = 1024 ** 2
const parse = (own: string[] | null, config = sampleConfig('hello')) => parseCallOptions(own, config)

describe('options of a call', () => {
  test('that asks for nothing are shared and frozen', () => {
    expect(parse(null)).toBe(NO_OPTIONS)
    expect(Object.isFrozen(NO_OPTIONS)).toBe(true)
  })

  test('are read from its headers', () => {
    const own = ['fn-limit-memory', '64m', 'fn-limit-cpus', '0.5', 'fn-timeout', ' 2s ', 'fn-metering', 'Trailer']
    expect(parse(own)).toMatchObject({
      limits: { memory: 64 * MIB, cpus: 0.5 },
      timeoutMs: 2000,
      wantsMetering: true,
      needsToken: 'fn-metering',
    })
    expect(NO_OPTIONS.limits).toEqual({})
  })

  test('that come several times are one list, in which nothing is lost', () => {
    const config = sampleConfig('hello', { limits: limitsWith({ scratch: 64 * MIB }) })
    const rates = ['fn-limit-device-read-bps', '/dev/a:8m', 'fn-limit-device-read-bps', '/dev/b:4m']
    expect(parse(rates, config).limits.deviceReadBps).toHaveLength(2)
    for (const own of [
      ['fn-limit-memory', '64m', 'fn-limit-memory', '32m'],
      ['fn-timeout', '2s', 'fn-timeout', '1s'],
    ])
      expect(() => parse(own)).toThrow(`${own[1]},${own[3]}`)
    expect(() => namespaceOf(['fn-namespace', 'a', 'fn-namespace', 'b'])).toThrow('a,b')
  })

  test('that lower something need no token, whatever else is ours and unknown', () => {
    const own = ['fn-limit-memory', '64m', 'fn-timeout', '2s', 'fn-namespace', 'x', 'fn-invocation-id', 'y']
    expect(parse(own).needsToken).toBeNull()
  })

  test('that raise a limit to what the function allows need a token', () => {
    const config = sampleConfig('hello', { maxLimits: { pids: 128 } })
    expect(parse(['fn-limit-pids', '128'], config).needsToken).toBe('fn-limit-pids')
    expect(parse(['fn-limit-pids', '64'], config).needsToken).toBeNull()
  })

  test('that name an unknown limit are refused with the list of those a call may change', () => {
    const known = LIMITS.filter(({ perCall }) => perCall).map(({ kebab }) => `fn-limit-${kebab}`)
    expect(known).toEqual(expect.arrayContaining(['fn-limit-memory', 'fn-limit-cpus', 'fn-limit-device-write-bps']))
    expect(known).not.toContain('fn-limit-tmpfs')
    const message = `unknown limit header fn-limit-memori; known: ${known.join(' ')}`
    const refused = expect.objectContaining({ code: 'LIMIT_INVALID', message })
    expect(() => parse(['fn-limit-memori', '64m'])).toThrow(refused)
  })

  test.each([
    [['fn-limit-memory', '1g'], 'memory'],
    [['fn-limit-memory', '4m'], 'memory'],
    [['fn-limit-tmpfs', '1m'], 'tmpfs'],
    [['fn-limit-ulimits', 'nofile=10'], 'ulimits'],
    [['fn-limit-nonsense', '1'], 'fn-limit-nonsense'],
    [['fn-limit-cpus', ''], 'cpus'],
    [['fn-timeout', '31s'], '30s'],
    [['fn-timeout', '0'], 'Fn-Timeout'],
    [['fn-timeout', '5'], 'Fn-Timeout'],
    [['fn-metering', 'please'], 'trailer'],
    [['fn-dispatch', 'carrier pigeon'], 'durable'],
    [['fn-delay', '8d'], 'fn-delay'],
    [['fn-delay', '-1s'], 'fn-delay'],
    [['fn-max-age', '0'], 'fn-max-age'],
    [['fn-priority', '2097152'], '2097151'],
    [['fn-priority', '1.5'], 'fn-priority'],
    [['fn-max-attempts', '0'], 'fn-max-attempts'],
    [['fn-callback', 'ftp://x'], 'http(s)'],
    [['fn-callback', 'hello'], 'URL'],
    [['fn-chain-depth', '17'], '16'],
  ])('%j are refused with a word on %s', (own, word) => {
    expect(() => parse(own)).toThrow(expect.objectContaining({ message: expect.stringContaining(word) }))
  })

  test('cannot lower limits where calls share a sandbox', () => {
    const config = sampleConfig('hello', { sandboxConcurrency: 4 })
    expect(() => parse(['fn-limit-memory', '64m'], config)).toThrow(/sandboxConcurrency/)
  })
})

test('a namespace is a DNS label or none', () => {
  expect(namespaceOf(['fn-timeout', '1s', 'fn-namespace', 'team-1'])).toBe('team-1')
  expect([namespaceOf(null), namespaceOf(['fn-timeout', '1s'])]).toEqual([null, null])
  // A value is no name.
  expect(namespaceOf(['fn-any', 'fn-namespace', 'fn-namespace', 'team-1'])).toBe('team-1')
  expect(namespaceOf(['fn-any', 'fn-namespace'])).toBeNull()
  for (const bad of ['', '-a', 'a-', 'A', 'a.b', 'a/b', 'a'.repeat(64)])
    expect(() => namespaceOf(['fn-namespace', bad])).toThrow(/DNS label/)
})

test.each([
  ['respond-async', true],
  ['RESPOND-ASYNC;x=1', true],
  ['wait=10, respond-async', true],
  ['respond-asyncx', false],
  ['x="respond-async"', false],
  [null, false],
])('Prefer: %s asks for an asynchronous answer: %s', (prefer, expected) => {
  expect(prefersAsync(prefer)).toBe(expected)
})
