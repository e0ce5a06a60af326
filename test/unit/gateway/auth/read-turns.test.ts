// Turns of reading control calls: eight of a namespace at once, in order, none for a caller who left.
import { EventEmitter } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ReadTurns } from '../../../../gateway/auth/read-turns.ts'
import type { GatewayResponse } from '../../../../gateway/response.ts'

function asks(turns: ReadTurns) {
  const begun: string[] = []
  const ask = (namespace: string, name: string) => {
    const outgoing = new EventEmitter() as unknown as GatewayResponse
    turns.take(namespace, outgoing, () => begun.push(name))
    return { over: () => outgoing.emit('close') }
  }
  return { begun, ask }
}

test('the ninth of a namespace begins when one is over; another namespace waits for none', async () => {
  const { begun, ask } = asks(new ReadTurns())
  const first = Array.from({ length: 8 }, (_, at) => ask('shop', `s${at}`))
  const waiting = ['a', 'b', 'c'].map((name) => ask('shop', name))
  ask('mall', 'm')
  expect(begun).toEqual(['s0', 's1', 's2', 's3', 's4', 's5', 's6', 's7', 'm'])
  first[5]!.over()
  // In a turn of the loop of its own.
  expect(begun).not.toContain('a')
  await turn()
  expect(begun.slice(9)).toEqual(['a'])
  // Who left has no turn, and takes no place.
  waiting[1]!.over()
  waiting[0]!.over()
  await turn()
  expect(begun.slice(9)).toEqual(['a', 'c'])
  for (const one of [...first.filter((_, at) => at !== 5), waiting[2]!]) one.over()
  await turn()
  for (let at = 0; at < 8; at++) ask('shop', `t${at}`)
  ask('shop', 'later')
  expect(begun.slice(11)).toEqual(['t0', 't1', 't2', 't3', 't4', 't5', 't6', 't7'])
})

test('who leaves between its turn and its begin gives the place to the next', async () => {
  const { begun, ask } = asks(new ReadTurns())
  const first = Array.from({ length: 8 }, (_, at) => ask('shop', `s${at}`))
  const leaver = ask('shop', 'leaver')
  ask('shop', 'next')
  first[0]!.over()
  leaver.over()
  await turn()
  await turn()
  expect(begun.slice(8)).toEqual(['next'])
})
