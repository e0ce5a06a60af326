import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LogLine } from '../../../../worker/api.ts'
import { LogCap } from '../../../../worker/logs/log-cap.ts'
import { logRate } from '../../../../worker/logs/log-rate.ts'
import { LogStore, type LogStoreOptions } from '../../../../worker/logs/log-store.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { quotasInMemory } from '../../../support/quota-book.ts'
import { silentLogger } from '../../../support/real-clock.ts'

let directory: string
let clock: FakeClock
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'thaw-logs-'))
  clock = new FakeClock()
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const store = (changes: Partial<LogStoreOptions> = {}): LogStore =>
  new LogStore({ directory, clock, logger: silentLogger, ...changes })

const line = (text: string, changes: Partial<LogLine> = {}): LogLine => ({
  time: '2026-01-01T00:00:00.000Z',
  namespace: 'default',
  function: 'hello',
  version: 1,
  invocation: 'i1',
  sandbox: 's1',
  stream: 'stdout',
  line: text,
  ...changes,
})
const texts = (lines: readonly LogLine[]): string[] => lines.map((one) => one.line)

describe('the log store', () => {
  test('goes on when somebody removes its folder under it', async () => {
    const logs = store()
    logs.append(line('before'))
    await logs.flush()
    rmSync(directory, { recursive: true })
    logs.append(line('after'))
    expect(texts(await logs.query({ namespace: 'default', function: 'hello' }))).toEqual(['after'])
    await logs.close()
  })

  test('gives lines back in order as they came, a query right after the line included', async () => {
    const logs = store()
    logs.append(line('one'))
    logs.append(line('two ü\n"quoted"'))
    expect(await logs.query({ namespace: 'default', function: 'hello' })).toEqual([
      line('one'),
      line('two ü\n"quoted"'),
    ])
  })

  test('writes in batches, 200 ms after the first line', async () => {
    const logs = store()
    const path = join(directory, 'default', 'hello.jsonl')
    logs.append(line('one'))
    logs.append(line('two'))
    await clock.advance(199)
    expect(readdirSync(directory)).toEqual([])
    await clock.advance(1)
    await logs.flush()
    expect(readFileSync(path, 'utf8').trim().split('\n')).toHaveLength(2)
  })

  test('filters by invocation, and takes the last lines', async () => {
    const logs = store()
    for (let index = 0; index < 10; index++) logs.append(line(`${index}`, { invocation: index % 2 ? 'odd' : 'even' }))
    const query = { namespace: 'default', function: 'hello' }
    expect(texts(await logs.query({ ...query, invocation: 'odd' }))).toEqual(['1', '3', '5', '7', '9'])
    expect(texts(await logs.query({ ...query, invocation: 'odd', tail: 2 }))).toEqual(['7', '9'])
    expect(texts(await logs.query({ ...query, tail: 3 }))).toEqual(['7', '8', '9'])
  })

  test('without a function joins those of the namespace by time', async () => {
    const logs = store()
    logs.append(line('b', { function: 'b', time: '2026-01-01T00:00:02.000Z' }))
    logs.append(line('a', { function: 'a', time: '2026-01-01T00:00:01.000Z' }))
    logs.append(line('x', { namespace: 'other' }))
    expect(texts(await logs.query({ namespace: 'default' }))).toEqual(['a', 'b'])
    expect(await logs.query({ namespace: 'nothing' })).toEqual([])
  })

  test('outlives the process', async () => {
    const before = store()
    before.append(line('kept'))
    await before.close()
    before.append(line('too late'))
    expect(texts(await store().query({ namespace: 'default', function: 'hello' }))).toEqual(['kept'])
  })

  test('rotates by size and keeps a bounded number of files', async () => {
    const logs = store({ file: { rotateBytes: 1000, files: 3 } })
    for (let round = 0; round < 40; round++) {
      logs.append(line(`${round} ${'x'.repeat(150)}`))
      await logs.flush()
    }
    const folder = join(directory, 'default')
    expect(readdirSync(folder).sort()).toEqual(['hello.jsonl', 'hello.jsonl.1', 'hello.jsonl.2'])
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).size).toBeLessThan(1500)
    const kept = texts(await logs.query({ namespace: 'default', function: 'hello' }))
    expect(kept.at(-1)).toMatch(/^39 /)
    expect(kept.map((text) => Number.parseInt(text, 10))).toEqual(
      Array.from({ length: kept.length }, (_, index) => 40 - kept.length + index),
    )
    expect(texts(await logs.query({ namespace: 'default', function: 'hello', tail: 10 }))).toEqual(kept.slice(-10))
  })

  test('skips a line that a crash cut', async () => {
    mkdirSync(join(directory, 'default'))
    writeFileSync(join(directory, 'default', 'hello.jsonl'), `${JSON.stringify(line('whole'))}\n{"time":"20`)
    const logs = store()
    expect(texts(await logs.query({ namespace: 'default', function: 'hello' }))).toEqual(['whole'])
  })

  test('drops lines it cannot buffer, and says how many', async () => {
    const logs = store({ bufferChars: 1000 })
    for (let index = 0; index < 20; index++) logs.append(line('x'.repeat(100)))
    const lines = await logs.query({ namespace: 'default', function: 'hello' })
    expect(lines.length).toBeLessThan(20)
    expect(lines.at(-1)?.line).toBe(`${20 - (lines.length - 1)} log lines were dropped: the disk did not keep up`)
  })

  test('survives a disk that refuses, and counts what was lost', async () => {
    writeFileSync(join(directory, 'default'), 'a file where the folder should be')
    const logs = store()
    logs.append(line('lost'))
    await logs.flush()
    rmSync(join(directory, 'default'))
    logs.append(line('kept'))
    expect(texts(await logs.query({ namespace: 'default', function: 'hello' }))).toEqual([
      'kept',
      '1 log lines were dropped: the disk did not keep up',
    ])
  })
})

describe('logs of several namespaces', () => {
  const loud = (text: string, name = 'f') => line(text, { namespace: 'loud', function: name })
  const calm = (text: string) => line(text, { namespace: 'calm', function: 'f' })

  test('what is above the rate of one is cut, a line says how much, and nothing of the other', async () => {
    const quotas = quotasInMemory({ logBytesPerSecond: 10_000 })
    const logs = store({ admit: logRate(quotas, clock) })
    const kept = Array.from({ length: 100 }, (_none, index) => logs.append(loud(`${index}`.padEnd(744))))
    expect(kept.filter(Boolean).length).toBe(10)
    expect(logs.append(calm('heard'))).toBe(true)
    const said = await logs.query({ namespace: 'loud', function: 'f' })
    expect(said.length).toBe(11)
    expect(said.at(-1)?.line).toBe(
      `90 log lines (${90 * 744} characters) were cut: namespace loud writes more than its quota logBytesPerSecond`,
    )
    expect(texts(await logs.query({ namespace: 'calm', function: 'f' }))).toEqual(['heard'])
    expect([...quotas.refusals()]).toEqual([{ namespace: 'loud', quota: 'logBytesPerSecond', count: 90 }])
    await clock.advance(1_000)
    expect(logs.append(loud('again'))).toBe(true)
    await logs.close()
  })

  test('one that only has lines cut is told so, too', async () => {
    const logs = store({ admit: () => false })
    logs.append(loud('never'))
    await clock.advance(200)
    const [said, ...more] = await logs.query({ namespace: 'loud', function: 'f' })
    expect([said?.line, more]).toEqual([expect.stringContaining('1 log lines (5 characters) were cut'), []])
    await logs.close()
  })

  test('what waits for the disk leaves room for another', async () => {
    const logs = store({ bufferChars: 100_000 })
    for (let index = 0; index < 1_000; index++) logs.append(loud('x'.repeat(744)))
    for (let index = 0; index < 10; index++) logs.append(calm(`${index}`))
    expect((await logs.query({ namespace: 'calm', function: 'f' })).length).toBe(10)
    expect((await logs.query({ namespace: 'loud', function: 'f' })).length).toBeLessThan(70)
    await logs.close()
  })

  test('on disk one has no more than its bound: its own oldest files go, of whatever function', async () => {
    const logs = store({ namespaceBytes: 100_000, file: { rotateBytes: 10_000, files: 4 } })
    logs.append(calm('kept'))
    for (let round = 0; round < 40; round++) {
      for (let index = 0; index < 5; index++) logs.append(loud('x'.repeat(900), `f${round}`))
      await logs.flush()
    }
    const folder = join(directory, 'loud')
    const bytes = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
    expect(bytes).toBeLessThanOrEqual(100_000)
    expect(bytes).toBeGreaterThan(50_000)
    expect((await logs.query({ namespace: 'loud', function: 'f39' })).length).toBe(5)
    expect(await logs.query({ namespace: 'loud', function: 'f0' })).toEqual([])
    expect(texts(await logs.query({ namespace: 'calm', function: 'f' }))).toEqual(['kept'])
    await logs.close()
  })

  test('a query reads from the end, over parts of any length, and answers with no more than fits', async () => {
    const logs = store()
    for (let index = 0; index < 2_000; index++) logs.append(loud(`${index} ${'ü'.repeat(500)}`))
    await logs.flush()
    const all = await logs.query({ namespace: 'loud', function: 'f' })
    expect(all.map(({ line: text }) => Number.parseInt(text, 10))).toEqual(
      Array.from({ length: 2_000 }, (_none, i) => i),
    )
    const last = await logs.query({ namespace: 'loud', function: 'f', tail: 3 })
    expect(last.map(({ line: text }) => Number.parseInt(text, 10))).toEqual([1997, 1998, 1999])
    await logs.close()
  })
})

describe('the cap of one invocation', () => {
  test('counts bytes and lines, and says once that it is reached', () => {
    const cap = new LogCap()
    expect(cap.take('x'.repeat(1024 ** 2))).toBe('keep')
    expect(cap.take('x')).toBe('notice')
    expect(cap.take('x')).toBe('drop')
  })
})
