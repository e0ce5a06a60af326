// A state directory that is copied, moved and linked while a platform runs on it: the first platform never notices.
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PLAIN_PATH, spawn } from '../../runtime/host/spawn.ts'
import type { SandboxInfo } from '../../worker/api.ts'
import { freePort, type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { leftovers } from '../support/platform-leftovers.ts'
import { text } from '../support/streams.ts'
import { until } from '../support/until.ts'

let folder: string
let first: Platform
const platforms: Platform[] = []
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-copies-'))
  first = await start('first')
  await first.deploy('functions/hello.ts', '--min-warm', '1')
  await answers(first)
})
afterAll(async () => {
  for (const platform of platforms) await platform.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function start(name: string): Promise<Platform> {
  const platform = await startPlatform({ stateDir: join(folder, name) })
  platforms.push(platform)
  return platform
}

const kernelId = (name: string) => JSON.parse(readFileSync(join(folder, name, 'kernel-id'), 'utf8')).id as string
const lastingId = (name: string) => readFileSync(join(folder, name, 'id'), 'utf8')
const sandboxes = async (platform: Platform) =>
  (await platform.json<SandboxInfo[]>('/v1/sandboxes')).filter((row) => row.function === 'hello').map(({ id }) => id)

async function answers(platform: Platform): Promise<void> {
  expect((await platform.request('/fn/hello')).status).toBe(200)
  expect((await platform.request('/readyz')).status).toBe(200)
}

/** What `fn up` says, and ends with, on a state directory that it must not take. */
async function refused(stateDir: string): Promise<string> {
  const env = { PATH: PLAIN_PATH, HOME: folder, FN_STATE_DIR: stateDir, FN_LISTEN: `127.0.0.1:${await freePort()}` }
  const child = spawn(join(ROOT, 'bin', 'fn'), ['up', '--once'], { stdout: 'ignore', stderr: 'pipe', env, cwd: ROOT })
  const said = await text(child.stderr!)
  expect((await child.exited).code).toBe(1)
  return said
}

test('a copy is refused while the original runs, and the original keeps its sandboxes', async () => {
  const before = await sandboxes(first)
  cpSync(first.stateDir, join(folder, 'second'), {
    recursive: true,
    preserveTimestamps: true,
    filter: (path) => !path.endsWith('.sock'),
  })
  const said = await refused(join(folder, 'second'))
  expect(said).toContain(
    `is a copy of ${first.stateDir}, which process ${first.pid} uses now; stop that platform first`,
  )
  await answers(first)
  expect(await sandboxes(first)).toEqual(before)
})

test('a link to the directory is the directory: it is in use', async () => {
  symlinkSync(first.stateDir, join(folder, 'link'))
  expect(await refused(join(folder, 'link'))).toContain('is in use by process')
  await answers(first)
})

test('once the original has stopped its copy starts, and then both run side by side, whichever is killed', async () => {
  await first.stop()
  platforms.length = 0
  const second = await start('second')
  await answers(second)
  first = await start('first')
  await answers(first)
  expect(kernelId('second')).not.toBe(kernelId('first'))
  expect(lastingId('second')).toBe(lastingId('first'))
  const before = await sandboxes(first)
  await second.kill9('platform')
  await until('the guard of the copy has cleaned up', () => {
    const left = leftovers(kernelId('second'), second.stateDir)
    return left.length === 0 || left.join('; ')
  })
  await answers(first)
  expect(await sandboxes(first)).toEqual(before)
})

test('a directory that was moved goes on under its name', async () => {
  await first.stop()
  platforms.length = 0
  const id = kernelId('first')
  renameSync(first.stateDir, join(folder, 'moved'))
  const moved = await start('moved')
  await answers(moved)
  expect(kernelId('moved')).toBe(id)
})
