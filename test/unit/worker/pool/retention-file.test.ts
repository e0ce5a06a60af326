import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Retention } from '../../../../worker/pool/retention.ts'
import { readRetention, writeRetention } from '../../../../worker/pool/retention-file.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { silentLogger } from '../../../support/real-clock.ts'

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
  expect(after.snapshot()).toEqual(known)
  expect([readdirSync(directory), warnings]).toEqual([['known-calls.json'], 0])
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
    expect([retention.snapshot(), warnings]).toEqual([{}, 1])
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
