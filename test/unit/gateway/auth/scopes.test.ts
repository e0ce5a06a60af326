// The one table of scopes, row by row; namespaces of tokens; rates.
import { describe, expect, test } from 'vitest'
import { TokenRates } from '../../../../gateway/auth/rate.ts'
import { expectScope, namespaceFor, needsOf } from '../../../../gateway/auth/scopes.ts'
import type { Caller } from '../../../../gateway/auth/token.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const caller = (more: Partial<Caller> = {}): Caller => ({
  id: 'abc',
  name: 'ci',
  namespace: 'shop',
  scopes: ['deploy'],
  rate: null,
  ...more,
})

test.each([
  ['GET', '/v1/functions', ['invoke', 'deploy']],
  ['HEAD', '/v1/functions/x', ['invoke', 'deploy']],
  ['PUT', '/v1/functions/x', ['deploy']],
  ['PUT', '/v1/functions/x/aliases/prod', ['deploy']],
  ['POST', '/v1/functions/x/invocations', ['invoke']],
  ['POST', '/v1/functions/x/dead-letters/1/redrive', ['deploy']],
  ['GET', '/v1/invocations/1/result', ['invoke', 'deploy']],
  ['DELETE', '/v1/invocations/1', ['invoke']],
  ['GET', '/v1/secrets', ['deploy']],
  ['DELETE', '/v1/volumes/x', ['deploy']],
  ['PUT', '/v1/tokens/x', ['admin']],
  ['POST', '/v1/sandboxes/1/kill', ['admin']],
  ['GET', '/v1/config', 'platform'],
  ['GET', '/metrics', 'platform'],
  ['GET', '/v1/something-new', 'platform'],
  ['GET', '/v1//functions', 'platform'],
])('%s %s needs %j', (method, path, needs) => {
  expect(needsOf(method, path)).toEqual(needs)
})

describe('a caller', () => {
  test('without the scope is refused, an admin is not, and only the platform’s token sees all', () => {
    expect(() => expectScope(caller(), 'PUT', '/v1/tokens/x')).toThrow(
      'this needs the scope admin; the token ci has deploy',
    )
    expectScope(caller({ scopes: ['admin'] }), 'PUT', '/v1/functions/x')
    expect(() => expectScope(caller({ scopes: ['admin'] }), 'GET', '/v1/config')).toThrow("platform's own token")
    expectScope(caller({ namespace: null }), 'GET', '/v1/config')
  })

  test('is in the namespace of its token and can name no other', () => {
    expect(namespaceFor(caller(), null)).toBe('shop')
    expect(namespaceFor(caller(), 'shop')).toBe('shop')
    expect(() => namespaceFor(caller(), 'other')).toThrow('for namespace shop alone')
    expect(namespaceFor(caller({ namespace: null }), 'other')).toBe('other')
    expect(namespaceFor(null, null)).toBe(null)
  })

  test('may call at its rate, and hears when it may again', async () => {
    const clock = new FakeClock()
    const rates = new TokenRates(clock)
    const slow = caller({ rate: { count: 2, windowMs: 60_000 } })
    rates.take(slow)
    rates.take(slow)
    expect(() => rates.take(slow)).toThrow('the token ci may call 2 times in 60 s')
    await clock.advance(30_000)
    rates.take(slow)
    try {
      rates.take(slow)
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({ code: 'RATE_LIMITED', headers: ['Retry-After', '30'] })
    }
    for (let call = 0; call < 10; call++) rates.take(caller())
  })
})
