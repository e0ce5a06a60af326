import { expect, test } from 'vitest'
import { FEW_LOCKS, LockHolders } from '../../../../runtime/sandbox/lock-holders.ts'

const one = { id: 'one', pids: () => [1, 11] }
const other = { id: 'other', pids: () => [2] }

/** Processes from 900 on are gone, those from 500 on are the host's. */
function lockHolders(takersOf: Readonly<Record<number, number[]>>) {
  const asked: number[] = []
  const holders = new LockHolders({
    sandboxOf: (pid) => {
      if (pid >= 900) return 'gone'
      if (pid >= 500) return null
      return pid === 2 ? 'other' : 'one'
    },
    takers: async (pid) => {
      asked.push(pid)
      return new Set(takersOf[pid] ?? [])
    },
  })
  return { holders, asked }
}

test('locks belong to the sandbox of the process that took them, and those of the host’s processes to none', async () => {
  const { holders, asked } = lockHolders({})
  const held = await holders.share(new Map([...[1, 2, 11].map((pid) => [pid, 10] as const), [500, 9999]]), [one, other])
  expect([...held]).toEqual([
    [one, 20],
    [other, 10],
  ])
  expect(asked).toEqual([])
})

test('those of a process that is gone belong to who has the open files, however many there are of them', async () => {
  const { holders } = lockHolders({ 1: [901], 11: [900, 500] })
  const held = await holders.share(
    new Map([
      [900, FEW_LOCKS],
      [901, 1],
      [2, 3],
    ]),
    [one, other],
  )
  expect([...held]).toEqual([
    [one, FEW_LOCKS + 1],
    [other, 3],
  ])
})

test('who has few of processes that are gone is not looked for', async () => {
  const { holders, asked } = lockHolders({ 1: [900] })
  expect([...(await holders.share(new Map([[900, FEW_LOCKS]]), [one, other]))]).toEqual([])
  expect(asked).toEqual([])
})

test('what was found once is not looked for again while the locks are there', async () => {
  const { holders, asked } = lockHolders({ 1: [900] })
  const counts = new Map([[900, FEW_LOCKS + 1]])
  await holders.share(counts, [one])
  asked.length = 0
  expect([...(await holders.share(counts, [one]))]).toEqual([[one, FEW_LOCKS + 1]])
  expect(asked).toEqual([])
  await holders.share(new Map(), [one])
  await holders.share(counts, [one])
  expect(asked).toEqual([1, 11])
})
