import { describe, expect, test } from 'vitest'
import type { LogLine } from '../../../../worker/api.ts'
import { LineBuffer } from '../../../../worker/logs/line-buffer.ts'

const line = (text: string, changes: Partial<LogLine> = {}): LogLine => ({
  ...{ time: '2026-01-01T00:00:00.000Z', namespace: 'team', function: 'hello', version: 12 },
  ...{ invocation: null, sandbox: 's1', stream: 'stdout', line: text },
  ...changes,
})
const parse = (bytes: Buffer) =>
  bytes
    .toString()
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => JSON.parse(text))

describe('lines that wait', () => {
  test('are the JSON of the lines, whatever they hold, in the order of a log line’s fields', () => {
    const all = ['plain', 'ü😀', 'a"b\\c\u0001\u2028', '', '\ud800 lone'].map((text) => line(text))
    all.push(line('x', { invocation: 'id "quoted"', stream: 'report' }))
    const buffer = new LineBuffer('team', 'hello')
    for (const one of all) buffer.add(one)
    expect(buffer.take().toString()).toBe(all.map((one) => `${JSON.stringify(one)}\n`).join(''))
  })

  test('find room however many and long they are', () => {
    const all = Array.from({ length: 300 }, (_, n) => line('ä'.repeat(n * 7)))
    const buffer = new LineBuffer('team', 'hello')
    for (const one of all) buffer.add(one)
    expect(parse(buffer.take())).toEqual(all)
  })

  test('are gone once they were taken, and the bytes taken stay as they are', () => {
    const buffer = new LineBuffer('team', 'hello')
    buffer.add(line('one'))
    expect([buffer.count, buffer.last?.line]).toEqual([1, 'one'])
    const taken = buffer.take()
    expect([buffer.count, buffer.last]).toEqual([0, null])
    buffer.add(line('two'))
    expect(parse(taken)).toEqual([line('one')])
    expect(parse(buffer.take())).toEqual([line('two')])
    expect(buffer.take()).toHaveLength(0)
  })
})
