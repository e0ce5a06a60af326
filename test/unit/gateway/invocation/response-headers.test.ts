import { describe, expect, test } from 'vitest'
import { filterResponseHeaders, serverTiming } from '../../../../gateway/invocation/response-headers.ts'

const kept = (...list: string[]) => filterResponseHeaders(list).headers

describe('of a function’s headers', () => {
  test('hop-by-hop ones, those its Connection names, ours, and a service worker’s scope stay behind', () => {
    expect(kept('Connection', 'close, X-Hop', 'X-Hop', '1', 'Keep-Alive', '5', 'Transfer-Encoding', 'chunked')).toEqual(
      [],
    )
    expect(kept('Upgrade', 'h2c', 'Trailer', 'X', 'TE', 'trailers', 'Proxy-Authenticate', 'Basic')).toEqual([])
    expect(kept('Fn-Invocation-Id', 'forged', 'FN-Start', 'warm')).toEqual([])
    expect(kept('Service-Worker-Allowed', '/')).toEqual([])
  })

  test('the others pass as they are, in their order, doubles included', () => {
    const list = ['Set-Cookie', 'a=1', 'X-A', 'ä', 'set-cookie', 'b=2', 'Date', 'now']
    expect(kept(...list)).toEqual(list)
  })

  test('a length counts only when all of them say the same number', () => {
    const lengthOf = (...values: string[]) =>
      filterResponseHeaders(values.flatMap((value) => ['Content-Length', value])).contentLength
    expect([lengthOf('5'), lengthOf('5', '5'), lengthOf('0')]).toEqual([5, 5, 0])
    for (const values of [[], ['5', '6'], ['5', '6', '5'], ['-1'], ['5x'], ['0x5'], ['']])
      expect(lengthOf(...values)).toBeLessThan(0)
  })
})

test('phases are milliseconds with three decimals, never negative', () => {
  const phases = { queueMs: -0.2, startMs: 0, thawMs: 0.12345, initMs: 0, runMs: 1.5 }
  expect(serverTiming(phases)).toBe('queue;dur=0, start;dur=0, thaw;dur=0.123, init;dur=0, run;dur=1.5')
})
