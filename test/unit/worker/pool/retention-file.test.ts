import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Retention } from '../../../../worker/pool/retention.ts'
import { readRetention, writeRetention } from '../../../../worker/pool/retention-file.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { silentLogger } from '../../../support/real-clock.ts'
import { versionOf } from '../../../support/samples.ts'
import { recordSyncs } from '../../../support/syncs.ts'
import { TestWorker } from '../../../support/test-worker.ts'
import { until } from '../../../support/until.ts'

let directory: string
let path: string
let warnings: number
const logger = { ...silentLogger, warn: () => void warnings++ }
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'thaw-known-'))
  path = join(directory, 'known-calls.json')
  warnings = 0
})
afterEach(() => rmSync(directory, { recursive: true }))

test('what was known is known after a restart', async () => {
  const before = new Retention(new FakeClock())
  const known = { 'default/timer': { lastMinute: 29_000_000, gaps: [30, 30, 31] } }
  before.restore(known)
  await writeRetention(path, before, logger)
  const after = new Retention(new FakeClock())
  readRetention(path, after, logger)
  expect(Object.fromEntries(after.entries())).toEqual(known)
  expect([readdirSync(directory), warnings]).toEqual([['known-calls.json'], 0])
})

test('what is known is on disk, and then its name is', async () => {
  const syncs = await recordSyncs(() => existsSync(path))
  await writeRetention(path, new Retention(new FakeClock()), logger)
  expect(syncs()).toEqual([
    [expect.stringContaining('known-calls.json.'), false],
    [directory, true],
  ])
})

test('ten thousand functions are written in pieces, and are known after a restart', async () => {
  const before = new Retention(new FakeClock())
  const gaps = Array.from({ length: 64 }, (_, index) => index + 2)
  const many = Array.from({ length: 10_000 }, (_, index) => [`default/f${index}`, { lastMinute: 29_000_000, gaps }])
  before.restore(Object.fromEntries(many))
  let turns = 0
  let turning = setImmediate(function turn() {
    turns++
    turning = setImmediate(turn)
  })
  await writeRetention(path, before, logger)
  clearImmediate(turning)
  // Two megabytes in pieces of 16 KiB, others' turns between them.
  expect(turns).toBeGreaterThan(50)
  const after = new Retention(new FakeClock())
  readRetention(path, after, logger)
  expect([...after.entries()]).toHaveLength(10_000)
  expect(warnings).toBe(0)
})

describe('a running worker', () => {
  const MINUTE_MS = 60_000
  const file = (host: TestWorker) => join(host.stateDir, 'known-calls.json')
  const text = (host: TestWorker) => (existsSync(file(host)) ? readFileSync(file(host), 'utf8') : '')

  test('has written what it learned when the minute after a call is over, without being stopped', async () => {
    const host = new TestWorker()
    await host.warm(versionOf('timer'))
    expect(text(host)).toBe('')
    await host.clock.advance(2 * MINUTE_MS)
    await until('the file is there', () => text(host).includes('default/timer'))
    await host.close()
  })

  test('writes nothing while it learns nothing, and at most once a minute', async () => {
    const host = new TestWorker()
    await host.warm(versionOf('timer'))
    await host.clock.advance(2 * MINUTE_MS)
    await until('the file is there', () => text(host) !== '')
    rmSync(file(host))
    await host.clock.advance(30 * MINUTE_MS)
    expect(text(host)).toBe('')
    await host.warm(versionOf('timer'))
    await host.clock.advance(2 * MINUTE_MS)
    await until('the file is there again', () => text(host).includes('"gaps":[3'))
    await host.close()
  })
})

test('the first start of a state directory has nothing to say', () => {
  readRetention(path, new Retention(new FakeClock()), logger)
  expect(warnings).toBe(0)
})

for (const text of ['', 'garbage', '{"format":9}', 'null', '[]']) {
  test(`a damaged file starts the learning again, with a line in the log: ${text || 'empty'}`, () => {
    writeFileSync(path, text)
    const retention = new Retention(new FakeClock())
    readRetention(path, retention, logger)
    expect([[...retention.entries()], warnings]).toEqual([[], 1])
  })
}

test('of what is damaged in part the rest is kept; what lies in the future is not', () => {
  const retention = new Retention(new FakeClock())
  const good = { lastMinute: 29_000_000, gaps: [5] }
  expect(retention.restore({ good, bad: { lastMinute: 'x' }, later: { lastMinute: 99_000_000, gaps: [] } })).toBe(1)
})

test('a folder that is gone costs a line in the log', async () => {
  await writeRetention(join(directory, 'gone', 'x.json'), new Retention(new FakeClock()), logger)
  expect(warnings).toBe(1)
})
