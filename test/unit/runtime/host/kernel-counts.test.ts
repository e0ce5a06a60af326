import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lockOwner, openLockTable, parseSockets } from '../../../../runtime/host/kernel-counts.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-locks-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

test('sockets of a network namespace are those in use, and a sixteenth of those that wait for their end', () => {
  const text = 'sockets: used 9\nTCP: inuse 30 orphan 2 tw 160 alloc 900 mem 7\nUDP: inuse 4 mem 1\n'
  expect(parseSockets(text)).toBe(40)
  expect(parseSockets('TCP6: inuse 12\nUDP6: inuse 3\n')).toBe(12)
  expect(parseSockets('')).toBe(0)
})

test.each([
  ['1: POSIX  ADVISORY  WRITE 3548 fd:01:1234 0 EOF', 3548],
  ['12: -> FLOCK  ADVISORY  READ 7 00:2f:1 0 EOF', 7],
  ['3: OFDLCK ADVISORY  WRITE -1 00:2f:1 0 EOF', -1],
  ['nothing', null],
])('the owner of %s is %s', (line, pid) => {
  expect(lockOwner(line)).toBe(pid)
})

describe('the table of locks', () => {
  const line = (nth: number, pid: number) => `${nth}: POSIX  ADVISORY  WRITE ${pid} 00:2f:${nth} 0 EOF\n`

  test('is counted by process', async () => {
    const path = join(folder, 'locks')
    writeFileSync(path, Array.from({ length: 3000 }, (_, nth) => line(nth, nth % 3 === 0 ? 10 : 20)).join(''))
    const table = await openLockTable(path)
    expect(await table!.count(5000)).toEqual({
      byPid: new Map([
        [10, 1000],
        [20, 2000],
      ]),
      total: 3000,
      complete: true,
    })
    // Asked again it begins again.
    expect((await table!.count(5000)).total).toBe(3000)
    await table!.close()
  })

  test('is not read to its end when it is long', async () => {
    const path = join(folder, 'long')
    writeFileSync(path, Array.from({ length: 50_000 }, (_, nth) => line(nth, 10)).join(''))
    const table = await openLockTable(path)
    const counts = await table!.count(1000)
    expect(counts.complete).toBe(false)
    expect(counts.total).toBeLessThan(5000)
    await table!.close()
  })

  test('that a kernel does not have is null', async () => {
    expect(await openLockTable(join(folder, 'none'))).toBe(null)
  })
})
