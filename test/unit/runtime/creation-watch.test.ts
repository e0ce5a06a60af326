import { beforeEach, describe, expect, test } from 'vitest'
import type { Runtime, Sandbox, SandboxSpec } from '../../../runtime/api.ts'
import { type WatchedRuntime, watchCreations } from '../../../runtime/creation-watch.ts'
import { FakeClock, settle } from '../../support/fake-clock.ts'
import { silentLogger } from '../../support/real-clock.ts'

let clock: FakeClock
let specs: SandboxSpec[]
let destroyed: number
/** Whether a creation fails. */
let fails: (spec: SandboxSpec) => boolean
let watched: WatchedRuntime
const OWN = { network: 'bridge' } as SandboxSpec
beforeEach(() => {
  clock = new FakeClock()
  specs = []
  destroyed = 0
  const create = async (spec: SandboxSpec) => {
    specs.push(spec)
    if (fails(spec)) throw new Error('runc is gone')
    return { destroy: async () => void destroyed++ } as unknown as Sandbox
  }
  watched = watchCreations({ create } as unknown as Runtime, clock, silentLogger)
})

const make = async (count: number) => {
  for (let index = 0; index < count; index++) await watched.runtime.create(OWN).catch(() => undefined)
  await settle()
}

describe('when creations fail again and again', () => {
  test('one of the platform’s own is tried, and its error is reported until one works', async () => {
    fails = () => true
    await make(2)
    expect([watched.trouble(), specs.length]).toEqual([null, 2])
    await make(1)
    expect(watched.trouble()).toBe('no sandbox can be made: runc is gone')
    expect(specs).toHaveLength(4)
    fails = () => false
    await clock.advance(5000)
    expect([watched.trouble(), destroyed]).toEqual([null, 1])
    await clock.advance(60_000)
    expect(specs).toHaveLength(5)
  })

  test('and only those of one function do, the platform is not in trouble, and does not try all the time', async () => {
    fails = (spec) => spec === OWN
    await make(100)
    expect(watched.trouble()).toBeNull()
    expect(specs.filter((spec) => spec !== OWN)).toHaveLength(1)
    expect(destroyed).toBe(1)
    await clock.advance(30_000)
    await make(3)
    expect(specs.filter((spec) => spec !== OWN)).toHaveLength(2)
  })

  test('a creation of a function that works ends the trouble', async () => {
    fails = () => true
    await make(3)
    fails = () => false
    await make(1)
    expect(watched.trouble()).toBeNull()
  })

  test('nothing is tried after the end', async () => {
    fails = () => true
    await make(3)
    watched.close()
    await clock.advance(60_000)
    expect(specs).toHaveLength(4)
  })
})
