// Stem sandboxes as a caller and an operator see them: a start from one, who cannot have one and why, never two functions in
// one, and that a killed or used one is replaced.
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SandboxInfo } from '../../worker/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

const STEMS = 2
const MARKER = join(ROOT, 'test', 'fixtures', 'functions', 'marker.ts')
let platform: Platform
beforeAll(async () => {
  platform = await startPlatform({ args: ['--stems', String(STEMS)] })
  await platform.deploy(MARKER, '--name', 'one', '--env', 'MARK=one')
  await platform.deploy(MARKER, '--name', 'two', '--env', 'MARK=two')
  await platform.deploy(MARKER, '--name', 'rooted', '--writable-root', '16m')
})
afterAll(() => platform.stop())

const rows = () => platform.json<SandboxInfo[]>('/v1/sandboxes')
const stems = async () => (await rows()).filter((row) => row.state === 'stem')
const haveStems = () =>
  until('the stems are there', async () => (await stems()).length >= STEMS || `${(await stems()).length}`)

/** The next call of the function starts a sandbox. */
async function forget(name: string): Promise<void> {
  for (const row of await rows()) if (row.function === name) await platform.fn('kill', row.id)
  await until(`no sandbox of ${name} is left`, async () => (await rows()).every((row) => row.function !== name))
}

interface Marked {
  readonly before: string
  readonly mark: string
  readonly env: string
}
async function call(name: string): Promise<{ start: string | null; body: Marked }> {
  const response = await platform.request(`/fn/${name}`)
  return { start: response.headers.get('fn-start'), body: (await response.json()) as Marked }
}

test('a call without a sandbox starts from a stem, which its function keeps; another stem takes its place', async () => {
  await haveStems()
  await forget('one')
  const before = await stems()
  const response = await platform.request('/fn/one')
  await response.arrayBuffer()
  expect(response.headers.get('fn-start')).toBe('stem')
  const sandbox = (await rows()).find((row) => row.function === 'one')
  expect(before.map(({ pid }) => pid)).toContain(sandbox?.pid)
  const id = response.headers.get('fn-invocation-id')
  expect(await platform.json(`/v1/invocations/${id}`)).toMatchObject({ start: 'stem', state: 'succeeded' })
  await haveStems()
  expect((await stems()).map(({ pid }) => pid)).not.toContain(sandbox?.pid)
})

test('no function finds anything of another in its stem', async () => {
  for (const name of ['one', 'two', 'one', 'two']) {
    await haveStems()
    await forget(name)
    expect(await call(name)).toMatchObject({ start: 'stem', body: { before: 'none', mark: name, env: name } })
  }
})

test('a stem killed from outside is replaced, and no call notices', async () => {
  await haveStems()
  const [killed] = await stems()
  process.kill(killed!.pid, 'SIGKILL')
  await forget('two')
  expect((await call('two')).body.mark).toBe('two')
  await until('it is gone', async () => (await rows()).every((row) => row.id !== killed!.id))
  await haveStems()
})

test('what is fixed at creation makes a function start cold, and fn get says so', async () => {
  await haveStems()
  await forget('rooted')
  expect((await call('rooted')).start).toBe('cold')
  const said = await platform.fn('get', 'rooted')
  expect(said.stdout).toContain('always cold: writableRoot')
  expect((await platform.fn('get', 'one')).stdout).toContain('from a stem sandbox')
  const answer = await platform.json('/v1/functions/rooted')
  expect(answer).toMatchObject({
    starts: { version: 1, from: 'cold', reason: expect.stringContaining('writableRoot') },
  })
})

test('fn ps shows stems without a function; one can be killed, not thawed', async () => {
  await haveStems()
  const [stem] = await stems()
  expect(stem).toMatchObject({ function: '', version: 0, calls: 0 })
  expect((await platform.fn('ps')).stdout).toMatch(new RegExp(`${stem!.id}\\s+-\\s+-\\s+stem`))
  expect((await platform.fn('thaw', stem!.id)).code).toBe(1)
  expect((await platform.fn('kill', stem!.id)).code).toBe(0)
  await until('it is gone', async () => (await rows()).every((row) => row.id !== stem!.id))
})

test('a setting that is no number is refused in one sentence', async () => {
  const result = await platform.fn('up', '--stems', 'many')
  expect(result.code).toBe(2)
  expect(result.stderr).toContain('FN_STEMS: expected a whole number from 0 to 100, got "many"')
})
