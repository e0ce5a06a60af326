import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { readOutput } from '../../../../runtime/sandbox/output.ts'
import { ReadBudget } from '../../../../runtime/sandbox/read-budget.ts'
import { FakeClock, settle } from '../../../support/fake-clock.ts'

const turn = () => new Promise((resolve) => setImmediate(resolve))

function harness(clock = new FakeClock()) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const lines: string[] = []
  const output = readOutput(stdout, stderr, { clock, onLine: (stream, line) => lines.push(`${stream}: ${line}`) })
  const end = async () => {
    stdout.end()
    stderr.end()
    // Held back, it ends when it is read on.
    await clock.advance(2000)
    await output.ended
  }
  return { stdout, stderr, lines, clock, output, end }
}

describe('native output', () => {
  test('comes as lines, whatever the chunks, an unfinished last one included', async () => {
    const { stdout, stderr, lines, end } = harness()
    stdout.write('one\ntw')
    stdout.write('o\nthr')
    stderr.write('oops\n')
    await end()
    expect(lines.toSorted()).toEqual(['stderr: oops', 'stdout: one', 'stdout: thr', 'stdout: two'])
  })

  test('keeps a character whose bytes come apart', async () => {
    const { stdout, lines, end } = harness()
    const bytes = Buffer.from('süß\n')
    for (const byte of bytes) stdout.write(Buffer.from([byte]))
    await end()
    expect(lines).toEqual(['stdout: süß'])
  })

  test('is cut where a line never ends', async () => {
    const { stdout, lines, end } = harness()
    stdout.write('x'.repeat(40_000))
    await end()
    expect(lines.map((line) => line.length - 'stdout: '.length)).toEqual([16_384, 16_384, 7232])
  })

  test.each([
    ['bytes', `${'y'.repeat(9999)}\n`.repeat(200)],
    ['lines', '\n'.repeat(20_000)],
  ])('holds back a writer of many %s until it has paid them back', async (_what, flood) => {
    const { stdout, clock, end } = harness()
    stdout.write(flood)
    await settle()
    expect(stdout.isPaused()).toBe(true)
    const cost = flood.length + (flood.split('\n').length - 1) * 128
    // A megabyte is free, what is above it and a quarter more are paid back, 10 KiB each millisecond.
    const pausedMs = Math.ceil((cost - 768 * 1024) / (10 * 1024))
    await clock.advance(pausedMs - 5)
    expect(stdout.isPaused()).toBe(true)
    await clock.advance(10)
    expect(stdout.isPaused()).toBe(false)
    await end()
  })

  test('that comes byte by byte is read some 640 times a second, and none of it is lost', async () => {
    const { stdout, stderr, clock, lines, end } = harness()
    let reads = 0
    stdout.on('data', () => reads++)
    stderr.on('data', () => reads++)
    let written = 0
    for (let ms = 0; ms < 2000; ms += 4) {
      // A writer that is not read waits; one that is, is read at each byte.
      for (const stream of [stdout, stderr]) {
        for (let byte = 0; byte < 20 && !stream.isPaused(); byte++) {
          written++
          stream.write('x')
          await turn()
        }
      }
      await clock.advance(4)
    }
    expect(reads).toBeLessThanOrEqual(64 + 2 * 640 + 64)
    expect(reads).toBeGreaterThan(640)
    await end()
    expect(lines.join('').replaceAll(/std(out|err): /g, '')).toHaveLength(written)
  })

  test('of all sandboxes of a group is charged to them together', async () => {
    const clock = new FakeClock()
    const shared = new ReadBudget(clock, { capacityBytes: 100_000, refillBytesPerMs: 1000, resumeBytes: 1 })
    const [one, other] = [harness(clock), harness(clock)]
    for (const { output } of [one, other]) output.share(shared)
    one.stdout.write('x'.repeat(60_000))
    await settle()
    expect(one.stdout.isPaused()).toBe(false)
    other.stdout.write('x'.repeat(60_000))
    await settle()
    expect([one.stdout.isPaused(), other.stdout.isPaused()]).toEqual([false, true])
    for (const { end } of [one, other]) await end()
  })

  test('on which its receiver throws costs that line alone, and is told once', async () => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const lines: string[] = []
    const bugs: unknown[] = []
    const clock = { now: () => 0, monotonicMs: () => 0, after: () => () => {} }
    const onLine = (_stream: string, line: string) => {
      if (line.startsWith('bad')) throw new Error(line)
      lines.push(line)
    }
    const output = readOutput(stdout, stderr, { clock, onLine, onBug: (error) => bugs.push(error) })
    stdout.end('bad 1\ngood\nbad 2\nlast\n')
    stderr.end()
    await output.ended
    expect(lines).toEqual(['good', 'last'])
    expect(bugs).toEqual([new Error('bad 1')])
  })

  test('remembers the last words on stderr', async () => {
    const { stderr, output, end } = harness()
    stderr.write('a'.repeat(20_000))
    stderr.write('the end')
    await end()
    expect(output.stderrTail()).toHaveLength(8192)
    expect(output.stderrTail().endsWith('the end')).toBe(true)
  })
})
