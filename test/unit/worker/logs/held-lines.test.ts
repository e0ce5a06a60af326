import { describe, expect, test } from 'vitest'
import type { LogLine } from '../../../../worker/api.ts'
import { HeldLines } from '../../../../worker/logs/held-lines.ts'
import { settle } from '../../../support/fake-clock.ts'

const line = (text: string, name = 'f'): LogLine => ({
  time: '2026-01-01T00:00:00.000Z',
  namespace: 'default',
  function: name,
  version: 1,
  invocation: null,
  sandbox: 's',
  stream: 'stdout',
  line: text,
})

function held() {
  const written: string[] = []
  const lines = new HeldLines(({ line: text }) => written.push(text))
  const later = (text: string, name?: string) => {
    const { promise, resolve } = Promise.withResolvers<string>()
    lines.add(line(text, name), promise)
    return resolve
  }
  return { written, lines, later }
}

describe('lines of a function', () => {
  test('are passed on at once while none waits', () => {
    const { written, lines } = held()
    lines.add(line('one'), null)
    expect(written).toEqual(['one'])
  })

  test('keep their order behind one that waits', async () => {
    const { written, lines, later } = held()
    const first = later('raw 1')
    lines.add(line('2'), null)
    const third = later('raw 3')
    lines.add(line('4'), null)
    third('three')
    await settle()
    expect(written).toEqual([])
    first('one')
    await settle()
    expect(written).toEqual(['one', '2', 'three', '4'])
  })

  test('do not wait for those of another function', () => {
    const { written, lines, later } = held()
    later('raw', 'slow')
    lines.add(line('other', 'fast'), null)
    expect(written).toEqual(['other'])
  })

  test('that wait are bounded: the oldest go on as they are, and none twice', async () => {
    const { written, lines, later } = held()
    const first = later('raw')
    for (let index = 0; index < 5000; index++) lines.add(line(String(index)), null)
    expect(written[0]).toBe('raw')
    first('late')
    await settle()
    expect(written).toHaveLength(1001)
    lines.flush()
    expect(written).toHaveLength(5001)
    expect(written.includes('late')).toBe(false)
  })

  test('that wait are told of, and can be passed on as they are', async () => {
    const { written, lines, later } = held()
    const first = later('raw')
    let settled = false
    void lines.settled('default/f').then(() => {
      settled = true
    })
    await lines.settled('default/other')
    await lines.settled('elsewhere/')
    expect([settled, lines.isEmpty]).toEqual([false, false])
    lines.flush()
    await settle()
    expect([written, settled, lines.isEmpty]).toEqual([['raw'], true, true])
    first('late')
    await settle()
    expect(written).toEqual(['raw'])
  })
})
