import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { keepSettings, type NeededSetting } from '../../../../runtime/host/kernel-settings.ts'

const FILES: NeededSetting = { row: 'open files', name: 'fs/file-max', least: 5000, heldBy: 'memory ends first' }
const BUFFERS: NeededSetting = { row: 'buffers', name: 'net/tcp_mem', least: 300, heldBy: 'memory' }

let root: string
let shared: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'thaw-settings-'))
  shared = join(root, 'run')
  for (const folder of ['fs', 'net', 'run/one', 'run/two']) mkdirSync(join(root, folder), { recursive: true })
  writeFileSync(join(root, 'fs/file-max'), '1000\n')
  writeFileSync(join(root, 'net/tcp_mem'), '100\t200\t400\n')
})
afterEach(() => rmSync(root, { recursive: true }))

const read = (name: string) => readFileSync(join(root, name), 'utf8').trim()
const keep = (id: string, needed = [FILES, BUFFERS]) => keepSettings(needed, shared, id, root)

describe('settings of the kernel', () => {
  test('that are too low are raised, each of their numbers, and put back by the last platform', () => {
    const one = keep('one')
    const two = keep('two')
    expect(read('fs/file-max')).toBe('5000')
    expect(read('net/tcp_mem')).toBe('300 300 400')
    one.release()
    expect(read('fs/file-max')).toBe('5000')
    two.release()
    two.release()
    expect(read('fs/file-max')).toBe('1000')
    expect(read('net/tcp_mem')).toBe('100 200 400')
    expect(existsSync(join(shared, 'settings'))).toBe(false)
  })

  test('that are high enough stay as they are', () => {
    writeFileSync(join(root, 'fs/file-max'), '9000\n')
    keep('one', [FILES]).release()
    expect(read('fs/file-max')).toBe('9000')
  })

  test('that were changed meanwhile stay as they are', () => {
    const one = keep('one')
    writeFileSync(join(root, 'fs/file-max'), '7000')
    one.release()
    expect(read('fs/file-max')).toBe('7000')
  })

  test('are put back for a platform that was killed, by the next', () => {
    keep('two')
    rmSync(join(shared, 'two'), { recursive: true })
    const one = keep('one')
    one.release()
    expect(read('fs/file-max')).toBe('1000')
  })

  test('that cannot be raised are reported with the way out', () => {
    const one = keep('one', [FILES])
    writeFileSync(join(root, 'fs/file-max'), '1000')
    expect(one.report()).toEqual({
      'open files': {
        enforced: false,
        how: 'fs.file-max is 1000: sandboxes together can use it up within their own limits',
        fix: 'sysctl -w fs.file-max=5000',
      },
    })
  })

  test('that this host does not have need nothing', () => {
    rmSync(join(root, 'fs/file-max'))
    const one = keep('one', [FILES])
    expect(one.report()['open files']!.enforced).toBe(true)
    one.release()
    expect(existsSync(join(root, 'fs/file-max'))).toBe(false)
  })
})
