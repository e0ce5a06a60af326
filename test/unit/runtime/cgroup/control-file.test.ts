// Numbers out of control files, through a descriptor that stays open.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ControlFile, createReadBuffer, fieldKey, openIfPresent } from '../../../../runtime/cgroup/control-file.ts'

describe('control file', () => {
  let folder: string
  const buffer = createReadBuffer()
  const file = (content: string, access: 'read' | 'both' = 'read') => {
    writeFileSync(join(folder, 'f'), content)
    return new ControlFile(join(folder, 'f'), access, buffer)
  }
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'control-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test.each([
    ['12345\n', 12345],
    ['max\n', Number.POSITIVE_INFINITY],
    ['', 0],
    ['9223372036854771712\n', 2 ** 63 - 4096],
  ])('%j is %d', (content, number) => {
    const opened = file(content)
    expect(opened.readNumber()).toBe(number)
    opened.close()
  })

  test('a key counts at the beginning of a line only, and a missing one is 0', () => {
    const opened = file('total_pgfault 9\npgfault 4\npgmajfault 2\n')
    expect(opened.readFields(['pgfault', 'pgmajfault', 'oom_kill'].map(fieldKey))).toEqual([4, 2, 0])
    opened.close()
  })

  test('what an earlier, longer read left behind is never seen', () => {
    const long = file('usage 1\nthrottled 7\n')
    long.readText()
    long.close()
    const short = file('usage 2\n')
    expect(short.readFields([fieldKey('throttled')])).toEqual([0])
    expect(short.readText()).toBe('usage 2\n')
    short.close()
  })

  test('each read sees the present, also beyond the first size of the buffer', () => {
    const opened = file('1\n')
    expect(opened.readNumber()).toBe(1)
    writeFileSync(opened.path, `${'x 1\n'.repeat(5000)}last 3\n`)
    expect(opened.readFields([fieldKey('last')])).toEqual([3])
    opened.close()
  })

  test('a refused write tells path, value and reason', () => {
    const missing = new ControlFile(join(folder, 'none'), 'write', buffer)
    expect(missing.tryWrite('5')).toBe('ENOENT')
    expect(() => missing.write('5')).toThrow(/writing "5" to .*none: ENOENT/)
  })

  test('close is final and may come twice', () => {
    const opened = file('1\n', 'both').open()
    opened.close()
    opened.close()
    expect(opened.tryWrite('2')).toBe('EBADF')
    expect(() => opened.readNumber()).toThrow(/closed/)
  })

  test('a file some kernels lack is null', () => {
    expect(openIfPresent(join(folder, 'none'), 'read', buffer)).toBeNull()
    expect(() => openIfPresent(join(folder, 'none', '\0'), 'read', buffer)).toThrow()
  })
})
