import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { programName, withProgram } from '../../../cli/program-name.ts'
import { runFn } from '../../support/run-fn.ts'

let root: string
let onPath: string
let elsewhere: string
beforeAll(() => {
  const folder = mkdtempSync(join(tmpdir(), 'fn-name-'))
  root = join(folder, 'project')
  onPath = join(folder, 'on-path')
  elsewhere = join(folder, 'elsewhere')
  for (const made of [join(root, 'bin'), onPath, elsewhere]) mkdirSync(made, { recursive: true })
  writeFileSync(join(root, 'bin', 'fn'), '', { mode: 0o755 })
  symlinkSync(join(root, 'bin', 'fn'), join(onPath, 'fn'))
  writeFileSync(join(elsewhere, 'fn'), '', { mode: 0o755 })
})
afterAll(() => rmSync(join(root, '..'), { recursive: true }))

describe('the name of the program in messages', () => {
  const named = (typed: string | undefined, path: string, cwd = root): string =>
    programName({ FN_CALLED_AS: typed, PATH: path }, cwd, root)

  test('is fn where fn on PATH is this program, also by a link', () => {
    expect(named('bin/fn', `/nowhere::${onPath}`)).toBe('fn')
    expect(named(join(root, 'bin/fn'), join(root, 'bin'))).toBe('fn')
  })

  test('is what was typed where fn on PATH is missing or another program', () => {
    expect(named('bin/fn', '/nowhere')).toBe('bin/fn')
    expect(named('./fn', `${elsewhere}:${onPath}`)).toBe('./fn')
  })

  test('of an absolute path is the way from here, unless that leads up', () => {
    expect(named(join(root, 'bin/fn'), '')).toBe('bin/fn')
    expect(named(join(root, 'bin/fn'), '', elsewhere)).toBe(join(root, 'bin/fn'))
  })

  test('is fn where nothing says what was typed', () => expect(named(undefined, '')).toBe('fn'))
})

test.each([
  ['start one with: fn up', 'start one with: bin/fn up'],
  ['fn get invocation ID; their ids: fn jobs', 'bin/fn get invocation ID; their ids: bin/fn jobs'],
  ['`fn --help`, fn help deploy', '`bin/fn --help`, bin/fn help deploy'],
  ['a fn that is none: fn upward, my/fn up, x.fn up', 'a fn that is none: fn upward, my/fn up, x.fn up'],
])('%j becomes %j for a user who types bin/fn', (text, expected) => {
  expect(withProgram(text, 'bin/fn')).toBe(expected)
  expect(withProgram(text, 'fn')).toBe(text)
})

test('hints, help and empty lists name commands as they were typed', async () => {
  const env = { FN_CALLED_AS: 'bin/fn', PATH: '', FN_URL: 'http://127.0.0.1:1' }
  expect((await runFn(['ls'], { env })).stderr).toContain('start one with: bin/fn up')
  expect((await runFn(['deploy', '--help'], { env })).stdout).toContain('$ bin/fn deploy ./hello.ts')
  expect((await runFn(['--help'], { env })).stdout).toContain('Usage: bin/fn VERB')
})
