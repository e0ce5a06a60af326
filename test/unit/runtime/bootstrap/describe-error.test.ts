// What is said of anything thrown: nothing throws, nothing of the platform is shown, nothing of the error is lost.
import { inspect } from 'node:util'
import { createContext, runInContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { cutOwnFrames, describeError } from '../../../../runtime/bootstrap/describe-error.ts'

const OWN = '/runtime/bootstrap.cjs:'
const cut = (text: string): string => cutOwnFrames(text, OWN)

describe('frames of the platform', () => {
  const OF_CODE = '    at f (/code/a.js:1:1)\n    at Array.map (<anonymous>)'
  const OURS =
    '    at Call.run (/runtime/bootstrap.cjs:1:2)\n    at AsyncLocalStorage.run (node:internal/x:9:9)\n    at /runtime/bootstrap.cjs:1:9\n    at Socket.onread (node:internal/y:1:1)'

  test.each<[string, string, string]>([
    ['below the code', `Error: no\n${OF_CODE}\n${OURS}`, `Error: no\n${OF_CODE}`],
    ['nothing else', `Error: no\n${OURS}`, 'Error: no'],
    [
      'of a class of ours that the code called',
      `E\n    at x (/runtime/bootstrap.cjs:1:1)\n${OF_CODE}`,
      `E\n${OF_CODE}`,
    ],
    ['above a cause', `E\n${OURS}\n[cause]: C\n${OF_CODE}\n${OURS}`, `E\n[cause]: C\n${OF_CODE}`],
    ['before properties', `E\n${OF_CODE}\n${OURS} {\n  code: 'X'\n}`, `E\n${OF_CODE} {\n  code: 'X'\n}`],
    ['in a list', `[\n  E\n${OURS},\n  E\n${OF_CODE}\n]`, `[\n  E,\n  E\n${OF_CODE}\n]`],
    ['no frame of ours', `E\n${OF_CODE}\n    at x (node:fs:1:1)`, `E\n${OF_CODE}\n    at x (node:fs:1:1)`],
    ['a text that only names the file', 'see /runtime/bootstrap.cjs:1', 'see /runtime/bootstrap.cjs:1'],
  ])('%s', (_what, text, expected) => {
    expect(cut(text)).toBe(expected)
  })

  test('are gone from an error printed by Node with a cause and properties', () => {
    const error = new Error('outer', { cause: Object.assign(new Error('inner'), { code: 'X' }) })
    error.stack = `Error: outer\n${OF_CODE}\n${OURS}`
    ;(error.cause as Error).stack = `Error: inner\n${OF_CODE}\n${OURS}`
    const text = cut(inspect(error))
    expect(text).not.toContain('bootstrap')
    expect(text).toContain('[cause]: Error: inner')
    expect(text).toContain("code: 'X'")
  })
})

describe('an error', () => {
  test('keeps its causes, however deep, each with its stack', () => {
    const error = new Error('a', { cause: new TypeError('b', { cause: new RangeError('c', { cause: 'just text' }) }) })
    const { message, stack } = describeError(error)
    expect(message).toBe('a')
    expect(stack).toMatch(
      /^Error: a\n +at .*\n\[cause\]: TypeError: b\n +at .*\n\[cause\]: RangeError: c\n +at .*\n\[cause\]: 'just text'$/s,
    )
  })

  test('of several parts shows each of them, and says their messages where it has none', () => {
    const parts = [Object.assign(new Error('refused ::1'), { code: 'ECONNREFUSED' }), new Error('refused 127.0.0.1')]
    const { message, stack } = describeError(new AggregateError(parts))
    expect(message).toBe('AggregateError: refused ::1; refused 127.0.0.1')
    expect(stack).toContain('[errors][0]: Error: refused ::1')
    expect(stack).toContain("code: 'ECONNREFUSED'")
    expect(stack).toContain('[errors][1]: Error: refused 127.0.0.1')
    expect(describeError(new AggregateError(parts, 'all failed')).message).toBe('AggregateError: all failed')
  })

  test('shows the properties it carries', () => {
    const error = Object.assign(new Error('gone'), { code: 'E_GONE', statusCode: 410, details: { id: 7 } })
    const { stack } = describeError(error)
    expect(stack).toMatch(/ \{\n {2}code: 'E_GONE',\n {2}statusCode: 410,\n {2}details: \{ id: 7 \}\n\}$/)
  })

  test('is recognised by its name, of this realm or another', () => {
    expect(describeError(new DOMException('left', 'AbortError')).message).toBe('AbortError: left')
    const foreign = runInContext('new TypeError("from afar")', createContext({}))
    expect(foreign).not.toBeInstanceOf(Error)
    expect(describeError(foreign).message).toBe('TypeError: from afar')
    expect(describeError(foreign).stack).toContain('TypeError: from afar')
    class HttpError extends Error {
      override name = 'HttpError'
    }
    expect(describeError(new HttpError('no')).message).toBe('HttpError: no')
    expect(describeError(new Error()).message).toBe('Error')
  })

  const thrower = new Proxy(new Error('behind'), {
    get: () => {
      throw new Error('trap')
    },
  })
  const getters = Object.defineProperties(new Error('x'), {
    stack: {
      get: () => {
        throw new Error('stack')
      },
    },
    message: {
      get: () => {
        throw new Error('message')
      },
    },
  })
  const cyclic: { self?: unknown } = {}
  cyclic.self = cyclic
  const cyclicCause = new Error('round')
  cyclicCause.cause = cyclicCause

  test.each<[string, unknown, string]>([
    ['null', null, 'null'],
    ['undefined', undefined, 'undefined'],
    ['text', 'text', 'text'],
    ['empty text', '', ''],
    ['a number', 42, '42'],
    ['a bigint', 10n, '10n'],
    ['a symbol', Symbol('s'), 'Symbol(s)'],
    ['a function', function named() {}, '[Function: named]'],
    ['an object', { code: 1 }, '{ code: 1 }'],
    ['an object with a message', { message: 'like an error', code: 1 }, 'like an error'],
    ['a cycle', cyclic, '<ref *1> { self: [Circular *1] }'],
    ['an error that is its own cause', cyclicCause, 'round'],
    ['a promise', Promise.resolve(1), 'Promise { 1 }'],
  ])('that is none: %s', (_what, thrown, message) => {
    expect(describeError(thrown).message).toBe(message)
  })

  test.each<[string, unknown]>([
    ['a proxy whose traps throw', thrower],
    ['getters that throw', getters],
    ['a revoked proxy', revoked()],
    [
      'an object that throws when it is printed',
      {
        [inspect.custom]: () => {
          throw new Error('printed')
        },
      },
    ],
  ])('that resists is still told: %s', (_what, thrown) => {
    const { message } = describeError(thrown)
    expect(typeof message).toBe('string')
    expect(message.length).toBeGreaterThan(0)
  })

  test('of any size is described within bounds', () => {
    const huge = Object.assign(new Error('x'.repeat(1e6)), { list: new Array(1e5).fill('y'.repeat(100)) })
    const wide = new AggregateError(
      Array.from({ length: 1e4 }, () => new Error('part', { cause: huge })),
      'wide',
    )
    let deep = new Error('deep')
    for (let level = 0; level < 1e4; level++) deep = new Error(`level ${level}`, { cause: deep })
    for (const error of [huge, wide, deep]) expect(describeError(error).stack!.length).toBeLessThan(6_100)
    expect(describeError(deep).stack).toContain('level 9995')
  })
})

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
