import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { readOutput } from '../../../../runtime/sandbox/output.ts'

function harness() {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const lines: string[] = []
  const timers: (() => void)[] = []
  const clock = {
    now: () => 0,
    monotonicMs: () => 0,
    after: (_ms: number, fire: () => void) => {
      timers.push(fire)
      return () => {}
    },
  }
  const output = readOutput(stdout, stderr, { clock, onLine: (stream, line) => lines.push(`${stream}: ${line}`) })
  const end = async () => {
    stdout.end()
    stderr.end()
    await output.ended
  }
  return { stdout, stderr, lines, timers, output, end }
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
    ['bytes', `${'y'.repeat(9999)}\n`.repeat(60)],
    ['lines', '\n'.repeat(10_000)],
  ])('holds back a writer of many %s until it has paid them back', async (_what, flood) => {
    const { stdout, timers, end } = harness()
    stdout.write(flood)
    await new Promise((resolve) => setImmediate(resolve))
    expect(stdout.isPaused()).toBe(true)
    let windows = 0
    while (stdout.isPaused() && windows < 100) {
      windows++
      for (const fire of timers.splice(0)) fire()
    }
    expect(windows).toBe(Math.ceil((flood.length + flood.split('\n').length * 128 - 128) / (512 * 1024)) - 1)
    await end()
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
