// The first minute: `npm start -- --once`, and the one clear message for each reason a platform cannot start.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PLAIN_PATH, spawn } from '../../runtime/host/spawn.ts'
import type { SandboxInfo } from '../../worker/api.ts'
import { freePort, ROOT, startPlatform } from '../support/platform.ts'
import { leftovers } from '../support/platform-leftovers.ts'
import { text } from '../support/streams.ts'
import { until } from '../support/until.ts'

let stateDir: string
/** Waits a quarter of a minute for its Redis; started first, looked at last. */
let withoutRedis: { readonly stateDir: string; readonly ended: ReturnType<typeof run> }
beforeAll(async () => {
  stateDir = mkdtempSync(join(tmpdir(), 'thaw-start-'))
  const port = await freePort()
  const lonely = join(stateDir, 'lonely')
  const env = {
    FN_STATE_DIR: lonely,
    FN_LISTEN: `127.0.0.1:${port}`,
    REDIS_URL: 'redis://me:secret@127.0.0.1:1',
  }
  withoutRedis = { stateDir: lonely, ended: run(join(ROOT, 'bin', 'fn'), ['up', '--once'], env) }
})
afterAll(async () => {
  await withoutRedis.ended
  rmSync(stateDir, { recursive: true, force: true })
})

async function run(command: string, args: string[], env: Record<string, string> = {}) {
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { PATH: PLAIN_PATH, HOME: stateDir, FN_STATE_DIR: stateDir, ...env },
  })
  const [exit, stdout, stderr] = await Promise.all([child.exited, text(child.stdout), text(child.stderr)])
  return { ...exit, stdout, stderr }
}

test('npm start -- --once sets up, deploys the example, calls it, prints what a newcomer needs, and ends with 0', async () => {
  const port = await freePort()
  const result = await run(join(ROOT, 'bin', 'start'), ['--once'], { FN_LISTEN: `127.0.0.1:${port}` })
  expect(result.code, result.stderr).toBe(0)
  expect(result.stdout).toContain(`http://127.0.0.1:${port}/fn/hello`)
  expect(result.stdout).toMatch(/200 .*[Hh]ello/)
  expect(result.stdout).toMatch(/start (cold|stem|thawed|warm)/)
  expect(result.stdout).toContain('run;dur=')
  expect(result.stdout).toContain('try next')
})

test('a port in use: one sentence with the way out, and nothing left', async () => {
  const server = createServer()
  const port = await new Promise<number>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  )
  const result = await run(join(ROOT, 'bin', 'fn'), ['up'], { FN_LISTEN: `127.0.0.1:${port}` })
  server.close()
  expect(result.code).toBe(1)
  expect(result.stderr).toContain(`127.0.0.1:${port} is in use`)
  expect(result.stderr).toContain('--listen')
  expect(result.stderr).not.toMatch(/\n\s+at /)
})

test('a state directory in use names the process that holds it', async () => {
  const platform = await startPlatform()
  try {
    const result = await run(join(ROOT, 'bin', 'fn'), ['up'], {
      FN_STATE_DIR: platform.stateDir,
      FN_LISTEN: `127.0.0.1:${await freePort()}`,
    })
    expect(result.code).toBe(1)
    expect(result.stderr).toContain(String(platform.pid))
    expect((await platform.request('/healthz')).status).toBe(200)
  } finally {
    await platform.stop()
  }
})

test.each([
  [['--listen', '0.0.0.0:8080'], {}, 2, '--behind-proxy'],
  [['--listen', 'nonsense'], {}, 2, 'host:port'],
  [[], { FN_LOG: 'loud' }, 2, 'FN_LOG'],
  [[], { FN_OCI_RUNTIME: '/no/such/runtime' }, 1, '/no/such/runtime'],
] as const)('fn up %o with %o is refused with the way out', async (args, env, code, words) => {
  const result = await run(join(ROOT, 'bin', 'fn'), ['up', ...args], {
    FN_LISTEN: `127.0.0.1:${await freePort()}`,
    ...env,
  })
  expect(result.code).toBe(code)
  expect(result.stderr).toContain(words)
  expect(result.stderr).not.toMatch(/\n\s+at /)
})

test('without root it says so', async () => {
  const result = await run(
    'setpriv',
    ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, join(ROOT, 'cli', 'bin.ts'), 'up'],
    {
      FN_STATE_DIR: join(stateDir, 'nobody'),
    },
  )
  // Where the checkout itself is not readable by others, Node cannot even load the CLI: then the words are Node's.
  expect(result.code).not.toBe(0)
  expect(result.stderr).toMatch(/root|EACCES|permission denied/i)
})

test('SIGTERM while it starts: it ends with 0 and leaves nothing', async () => {
  const env = {
    PATH: PLAIN_PATH,
    HOME: stateDir,
    FN_STATE_DIR: join(stateDir, 'early'),
    FN_LISTEN: `127.0.0.1:${await freePort()}`,
  }
  const child = spawn(join(ROOT, 'bin', 'fn'), ['up'], { cwd: ROOT, env })
  const output = Promise.all([text(child.stdout), text(child.stderr)])
  await until('it has its run directory', () => existsSync(join(env.FN_STATE_DIR, 'id')))
  child.kill('SIGTERM')
  const [exit, printed] = await Promise.all([child.exited, output])
  expect(exit.code, printed.join('')).toBe(0)
  const id = readFileSync(join(env.FN_STATE_DIR, 'id'), 'utf8').trim()
  await until('nothing is left', () => leftovers(id, env.FN_STATE_DIR).join(', ') || true)
})

test('SIGTERM while a call runs: it may end within the drain, and is told so when it does not', async () => {
  const platform = await startPlatform()
  await platform.deploy(join(ROOT, 'test', 'fixtures', 'functions', 'probe.ts'))
  const short = platform.request('/fn/probe/sleep/1500')
  const long = platform.request('/fn/probe/sleep/29000')
  await until('both run', async () => {
    const sandboxes = await platform.json<SandboxInfo[]>('/v1/sandboxes')
    return sandboxes.filter((sandbox) => sandbox.state === 'busy').length === 2
  })
  const stopped = platform.stop()
  expect(await (await short).text()).toBe('slept 1500')
  const response = await long
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({ code: 'DRAINING' })
  await stopped
})

test('a Redis that is not there: where it was looked for and what to do, an exit of 1, nothing left', async () => {
  const { code, stdout, stderr } = await withoutRedis.ended
  expect([code, stdout]).toEqual([1, expect.stringContaining('not ready http://127.0.0.1:')])
  expect(stderr).toContain(
    `fn up: Redis is away: synchronous calls work, asynchronous ones and deploys do not; nothing answers at redis://127.0.0.1:1 (ECONNREFUSED); start Redis there, or name another: REDIS_URL\n`,
  )
  expect(stdout + stderr).not.toContain('secret@')
  const id = readFileSync(join(withoutRedis.stateDir, 'id'), 'utf8').trim()
  await until('nothing is left', () => leftovers(id, withoutRedis.stateDir).join(', ') || true)
})
