// How many follow-ups at once: bounds of a namespace, of one receiver, and room for others.
import { describe, expect, test } from 'vitest'
import { AT_ONCE, DeliveryTurns } from '../../../../../worker/queue/callbacks/delivery-turns.ts'
import { hostsOf } from '../../../../../worker/queue/callbacks/resolve-host.ts'

describe('the turns of follow-ups', () => {
  const beginAll = (turns: DeliveryTurns, namespace: string): (() => void)[] => {
    const begun: (() => void)[] = []
    while (turns.room(namespace) > 0) begun.push(turns.begin(namespace, '')!)
    return begun
  }

  test('stop at the bound of the namespace, and go on when one is over', () => {
    const turns = new DeliveryTurns(() => 3)
    const begun = beginAll(turns, 'a')
    expect(begun.length).toBe(3)
    expect(turns.room('b')).toBe(3)
    begun[0]!()
    expect(turns.room('a')).toBe(1)
  })

  test('leave places for a namespace that has none, whatever others have under way', () => {
    const turns = new DeliveryTurns(() => null)
    expect(beginAll(turns, 'a').length).toBe(AT_ONCE / 2)
    for (const namespace of ['b', 'c', 'd', 'e']) expect(beginAll(turns, namespace).length).toBeGreaterThan(0)
    expect(turns.room('late')).toBeGreaterThan(0)
  })

  test('send no more than four to one receiver of a namespace, and another’s to the same receiver', () => {
    const turns = new DeliveryTurns(() => 25)
    for (let index = 0; index < 4; index++) expect(turns.begin('a', 'slow.example')).not.toBeNull()
    expect(turns.begin('a', 'slow.example')).toBeNull()
    expect(turns.begin('a', 'other.example')).not.toBeNull()
    expect(turns.begin('b', 'slow.example')).not.toBeNull()
  })
})

test('hosts of a hosts file are found by any of their names, IPv4 first, comments apart', () => {
  const text = '# local\n::1 localhost ip6\n127.0.0.1\tlocalhost # me db.corp\n10.1.2.3 DB.corp db\nnonsense\n'
  expect(hostsOf(text, 'localhost')).toEqual([
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ])
  expect(hostsOf(text, 'db.corp')).toEqual([{ address: '10.1.2.3', family: 4 }])
  expect(hostsOf(text, 'other')).toEqual([])
})
