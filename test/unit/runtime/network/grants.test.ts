// What is open by name, shared by namespaces: room for others, own oldest first, what went by itself is forgotten.
import { describe, expect, test } from 'vitest'
import { type Grant, Grants } from '../../../../runtime/network/grants.ts'
import { Shares } from '../../../../runtime/shares.ts'

function setUp(most = 1000) {
  const grants = new Grants(most)
  const closed: string[] = []
  /** False: it was refused. */
  const open = (group: string, name: string, count = 10, untilMs = 600_000, nowMs = 0): boolean => {
    if (!grants.admit(group, count, nowMs)) return false
    const grant: Grant = { count, untilMs, close: () => void closed.push(name) }
    grants.add(group, grant)
    return true
  }
  return { grants, open, closed }
}

describe('the table of what is open by name', () => {
  test('gives one group half of it, then closes that group’s own oldest', () => {
    const { grants, open, closed } = setUp()
    for (let index = 0; index < 200; index++) expect(open('loud', `l${index}`)).toBe(true)
    expect(grants.open('loud')).toBe(500)
    expect(closed.slice(0, 3)).toEqual(['l0', 'l1', 'l2'])
    expect(grants.closed).toBe(150)
  })

  test('has room for others whatever one group opens, and closes nothing of theirs', () => {
    const { grants, open, closed } = setUp()
    for (let index = 0; index < 5; index++) open('calm', `c${index}`)
    for (let index = 0; index < 1_000; index++) open('loud', `l${index}`)
    for (let index = 5; index < 10; index++) expect(open('calm', `c${index}`)).toBe(true)
    expect(grants.open('calm')).toBe(100)
    expect(closed.filter((name) => name.startsWith('c'))).toEqual([])
  })

  test('leaves room after many groups that open all they can', () => {
    const { open } = setUp(60_000)
    for (let group = 0; group < 8; group++)
      for (let index = 0; index < 4_000; index++) open(`g${group}`, `${index}`, 20)
    expect(open('late', 'first', 64)).toBe(true)
  })

  test('forgets what the kernel closed by itself', () => {
    const { grants, open, closed } = setUp()
    for (let index = 0; index < 50; index++) open('loud', `l${index}`, 10, 60_000)
    expect(open('loud', 'later', 10, 700_000, 130_000)).toBe(true)
    expect(grants.open()).toBe(10)
    expect(closed).toEqual([])
  })

  test('refuses what is larger than all a group can have', () => {
    const { grants, open } = setUp(100)
    expect(open('loud', 'huge', 101)).toBe(false)
    expect(grants.open()).toBe(0)
  })
})

describe('shared places', () => {
  test('one group takes half, the next half of the rest, and what is given back can be taken again', () => {
    const shares = new Shares(8)
    const take = (group: string): (() => void)[] => {
      const taken: (() => void)[] = []
      for (let back = shares.take(group); back !== null; back = shares.take(group)) taken.push(back)
      return taken
    }
    const one = take('one')
    const two = take('two')
    expect([one.length, two.length, take('three').length]).toEqual([4, 2, 1])
    one[0]!()
    one[0]!()
    expect(take('three').length).toBe(1)
    expect(shares.take('four')).not.toBeNull()
  })
})
