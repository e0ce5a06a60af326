import { describe, expect, test } from 'vitest'
import type { Fault } from '../../../../runtime/api.ts'
import { findExcess } from '../../../../runtime/sandbox/overuse.ts'
import { OveruseWatch, SOCKET_BUDGET, type WatchedSandbox } from '../../../../runtime/sandbox/overuse-watch.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { silentLogger } from '../../../support/real-clock.ts'

describe('who holds too much', () => {
  const budget = { resource: 'things', perSandbox: 10, total: 25 }
  test.each([
    ['nobody within both bounds', { a: 10, b: 10 }, []],
    ['those above their own', { a: 11, b: 3, c: 12 }, ['c', 'a']],
    ['the largest until the rest is within the total', { a: 9, b: 10, c: 8 }, ['b']],
    ['nobody of none', {}, []],
  ])('%s', (_, held, expected) => {
    const found = findExcess(new Map(Object.entries(held)), budget)
    expect(found.map(({ holder }) => holder)).toEqual(expected)
  })
})

class FakeSandbox implements WatchedSandbox {
  static pids = 100
  readonly pid = FakeSandbox.pids++
  readonly ownNetwork: boolean
  readonly id: string
  runs = true
  killed: Fault | null = null
  sockets = 0
  constructor(id: string, ownNetwork = true) {
    this.id = id
    this.ownNetwork = ownNetwork
  }
  pids(): number[] {
    return [this.pid]
  }
  tookTurn(): boolean {
    return this.runs
  }
  kill(fault: Fault): void {
    this.killed = fault
  }
}

function watched(...sandboxes: FakeSandbox[]) {
  const clock = new FakeClock()
  const asked: number[] = []
  const watch = new OveruseWatch({
    sandboxes: () => sandboxes.filter(({ killed }) => killed === null),
    clock,
    logger: silentLogger,
    orphans: 20_000,
    countSockets: (pid) => {
      asked.push(pid)
      return sandboxes.find((one) => one.pid === pid)!.sockets
    },
  })
  return { clock, asked, watch }
}

describe('the watch over sockets', () => {
  test('kills the one above its bound and says how many it held', async () => {
    const [one, other] = [new FakeSandbox('one'), new FakeSandbox('other')]
    const { clock } = watched(one, other)
    one.sockets = SOCKET_BUDGET.perSandbox + 1
    other.sockets = SOCKET_BUDGET.perSandbox
    await clock.advance(250)
    expect(one.killed).toMatchObject({ code: 'OUT_OF_MEMORY', data: { resource: 'TCP sockets', held: 4097 } })
    expect(other.killed).toBe(null)
  })

  test('counts what a frozen one held when it ran last, against the total', async () => {
    const sandboxes = Array.from({ length: 4 }, (_, nth) => new FakeSandbox(`s${nth}`))
    for (const [nth, sandbox] of sandboxes.entries()) sandbox.sockets = 2400 + nth
    const { clock, asked } = watched(...sandboxes)
    await clock.advance(250)
    expect(sandboxes.every(({ killed }) => killed === null)).toBe(true)
    for (const sandbox of sandboxes.slice(1)) sandbox.runs = false
    asked.length = 0
    sandboxes[0]!.sockets = 3500
    await clock.advance(250)
    expect(asked).toEqual([sandboxes[0]!.pid])
    expect(sandboxes.map(({ killed }) => killed !== null)).toEqual([true, false, false, false])
  })

  test('does not count the host’s own sockets for a sandbox on its network', async () => {
    const host = new FakeSandbox('host', false)
    host.sockets = 1e6
    const { clock, asked } = watched(host)
    await clock.advance(250)
    expect([asked, host.killed]).toEqual([[], null])
  })

  test('looks no more after its end', async () => {
    const one = new FakeSandbox('one')
    const { clock, watch } = watched(one)
    await watch.close()
    one.sockets = 1e6
    await clock.advance(1000)
    expect(one.killed).toBe(null)
  })
})
