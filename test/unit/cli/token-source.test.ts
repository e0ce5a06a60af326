import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findToken } from '../../../cli/token-source.ts'

let stateDir: string
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'fn-token-'))
})
afterEach(() => rmSync(stateDir, { recursive: true }))

test('FN_TOKEN goes over the file, and is what a refusal is about', () => {
  writeFileSync(join(stateDir, 'token'), 'fn_file\n')
  expect(findToken({ token: 'fn_set', stateDir })).toMatchObject({
    token: 'fn_set',
    whenRefused: expect.stringContaining('FN_TOKEN'),
  })
})

test('the file’s token is sent, and a refusal names the file', () => {
  writeFileSync(join(stateDir, 'token'), 'fn_file\n')
  const { token, whenRefused } = findToken({ token: null, stateDir })
  expect(token).toBe('fn_file')
  expect(whenRefused).toContain(`the token in ${stateDir}/token is not one of this platform`)
})

test('a file that is missing, empty or cannot be read has its own message', () => {
  expect(findToken({ token: null, stateDir }).whenRefused).toContain(`there is no token file ${stateDir}/token`)
  writeFileSync(join(stateDir, 'token'), '\n')
  expect(findToken({ token: null, stateDir }).whenRefused).toContain('is empty')
  rmSync(join(stateDir, 'token'))
  mkdirSync(join(stateDir, 'token'))
  expect(findToken({ token: null, stateDir })).toMatchObject({
    token: null,
    whenRefused: expect.stringContaining('cannot be read (EISDIR'),
  })
})

test('a file of another user is not reported as a missing state directory', () => {
  // Root may read everything: what a reader without rights gets is made here.
  const denied = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' })
  const { token, whenRefused } = findToken({ token: null, stateDir }, () => {
    throw denied
  })
  expect(token).toBeNull()
  expect(whenRefused).toContain(`this user may not read the token file ${stateDir}/token`)
  expect(whenRefused).not.toContain('FN_STATE_DIR')
})
