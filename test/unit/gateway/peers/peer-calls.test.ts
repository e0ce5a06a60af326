// Who may call whom on a network, and how deep.
import { describe, expect, test } from 'vitest'
import { CallDepths, expectPeer, MOST_DEPTH, peerNameOf } from '../../../../gateway/peers/peer-calls.ts'
import type { FunctionVersion } from '../../../../worker/api.ts'
import { type FunctionEntry, type Registry, RegistryError } from '../../../../worker/registry/api.ts'
import { networkModeOf, networkNameOf, networkOwner, peerOfOwner } from '../../../../worker/registry/network-text.ts'

const version = (name: string, network: string) =>
  ({ namespace: 'team', name, config: { network } }) as unknown as FunctionVersion
const functions = [
  ...[version('stock', 'shop'), version('vault', 'bank'), version('free', 'bridge')],
  ...[version('torn', 'shop'), version('torn', 'bank'), version('moved', 'bank'), version('moved', 'shop')],
]
/** The last version of a function is its latest; of `torn` both are. */
function entryOf(name: string): FunctionEntry {
  const versions = functions.filter((one) => one.name === name).map((one, index) => ({ ...one, version: index + 1 }))
  const weights = name === 'torn' ? { '1': 50, '2': 50 } : { [versions.length]: 100 }
  return { namespace: 'team', name, createdAt: '', updatedAt: '', versions, aliases: { latest: { weights } } }
}
const registry: Pick<Registry, 'get'> = {
  get: (namespace, name) => {
    const isThere = functions.some((one) => one.namespace === namespace && one.name === name)
    if (isThere) return entryOf(name)
    throw new RegistryError('FUNCTION_NOT_FOUND', 'no')
  },
}
const caller = { namespace: 'team', network: 'shop', name: 'orders' }

test.each([
  ['stock.fn.internal', 'stock'],
  ['STOCK.fn.internal.:80', 'stock'],
  ['fn.internal', null],
  ['.fn.internal', null],
  ['a.stock.fn.internal', null],
  ['stock.fn.internal.evil.example', null],
  ['198.18.4.1', null],
])('host %s names %j', (host, name) => {
  expect(peerNameOf(host)).toBe(name)
})

describe('a function on a network', () => {
  test('calls those on the same, by name', () => {
    expect(expectPeer(registry, caller, 'stock.fn.internal')).toBe('stock')
    expect(expectPeer(registry, caller, 'moved.fn.internal')).toBe('moved')
  })

  test.each(['vault', 'free', 'nobody', 'torn'])('learns of %s no more than that it is not there', (name) => {
    expect(() => expectPeer(registry, caller, `${name}.fn.internal`)).toThrow(`no function ${name} on network shop`)
  })

  test('does not call those of another namespace', () => {
    expect(() => expectPeer(registry, { ...caller, namespace: 'other' }, 'stock.fn.internal')).toThrow(/no function/)
  })
})

describe('depth', () => {
  test('is one more than the deepest of the calls that run, and ends', () => {
    const depths = new CallDepths()
    expect(depths.next([])).toBe(1)
    for (let depth = 1; depth <= MOST_DEPTH; depth++) {
      expect(depths.next(depth === 1 ? [] : [`call ${depth - 1}`, 'a plain one'])).toBe(depth)
      depths.begin(`call ${depth}`, depth)
    }
    expect(() => depths.next(['a plain one', `call ${MOST_DEPTH}`])).toThrow(/in a circle/)
  })

  test('is remembered of calls without end in bounded room', () => {
    const depths = new CallDepths()
    for (let call = 0; call < 30_000; call++) depths.begin(String(call), 3)
    expect(depths.next(['0'])).toBe(1)
    expect(depths.next(['29999'])).toBe(4)
  })
})

test('a network’s name means a bridge, and its functions are known by their mark', () => {
  expect(['none', 'bridge', 'host', 'shop'].map(networkModeOf)).toEqual(['none', 'bridge', 'host', 'bridge'])
  expect(['none', 'bridge', 'host', 'shop'].map(networkNameOf)).toEqual([null, null, null, 'shop'])
  expect(peerOfOwner(networkOwner(version('stock', 'shop')))).toEqual({
    namespace: 'team',
    network: 'shop',
    name: 'stock',
  })
  expect(peerOfOwner(networkOwner(version('free', 'bridge')))).toBeNull()
})
