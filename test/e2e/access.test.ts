// Volumes, secrets and tokens through the front door: what they give, to whom, and what is refused. One platform for all.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Platform, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

const KEEPER = 'test/fixtures/functions/keeper.ts'
const SECRET = 'correct-horse-battery-staple-7319'
const stateDir = mkdtempSync(join(tmpdir(), 'thaw-access-'))
let fn: Platform

beforeAll(async () => {
  fn = await startPlatform({ stateDir })
})
afterAll(async () => {
  await fn?.stop()
  rmSync(stateDir, { recursive: true, force: true })
})

async function run(...args: string[]): Promise<string> {
  const result = await fn.fn(...args)
  if (result.code !== 0) throw new Error(`fn ${args.join(' ')}: exit ${result.code}\n${result.stderr}`)
  return result.stdout.trim()
}

async function codeOf(response: Response): Promise<string> {
  const { code } = (await response.json()) as { code: string }
  return `${response.status} ${code}`
}

const put = (body: string) => ({ method: 'PUT', body })
const as = (token: string, more: Record<string, string> = {}) => ({
  headers: { authorization: `Bearer ${token}`, ...more },
})

describe('volumes', () => {
  test('two functions share one, one of them only reads, and it outlives a killed platform', async () => {
    expect(await run('volume', 'create', 'papers', '--size', '16m')).toBe('made papers, 16 MiB')
    await fn.deploy(KEEPER, '--name', 'writer', '--volume', 'papers:/data')
    await fn.deploy(KEEPER, '--name', 'reader', '--volume', 'papers:/data:ro', '--volume', 'tmpfs:/cache:size=1m')
    expect(await fn.json('/fn/writer?path=/data/a', put('shared'))).toBe('shared')
    expect(await fn.json('/fn/reader?path=/data/a')).toBe('shared')
    expect(await (await fn.request('/fn/reader?path=/data/b', put('x'))).json()).toBe('EROFS')
    expect(await fn.json('/fn/reader?path=/cache/b', put('x'))).toBe('x')
    const many = await fn.request('/fn/writer?path=/data/big', { method: 'PUT', body: Buffer.alloc(20 * 1024 ** 2) })
    expect(await many.json()).toBe('ENOSPC')
    await fn.kill9('everything')
    await fn.restart()
    expect(await fn.json('/fn/reader?path=/data/a')).toBe('shared')
    expect(await fn.json('/v1/volumes')).toMatchObject([
      { name: 'papers', namespace: 'default', sizeBytes: 16 * 1024 ** 2, functions: ['reader', 'writer'] },
    ])
  })

  test('what is not there or not allowed is refused with the way out, and one in use stays', async () => {
    const unknown = await fn.fn('deploy', KEEPER, '--name', 'lost', '--volume', 'nowhere:/data')
    expect(unknown.code).toBe(1)
    expect(unknown.stderr).toContain(
      'there is no volume nowhere in namespace default; make it with: bin/fn volume create nowhere',
    )
    const bind = await fn.fn('deploy', KEEPER, '--name', 'lost', '--volume', '/etc:/data')
    expect(bind.stderr).toContain('FN_VOLUME_ROOTS')
    const path = await fn.fn('deploy', KEEPER, '--name', 'lost', '--volume', 'papers:/proc/x')
    expect(path.stderr).toContain("/proc is the platform's")
    const busy = await fn.request('/v1/volumes/papers', { method: 'DELETE' })
    expect(await codeOf(busy)).toBe('409 VOLUME_IN_USE')
    expect(await codeOf(await fn.request('/v1/volumes/papers', put('{"size": "32m"}')))).toBe('409 VOLUME_EXISTS')
    expect(await codeOf(await fn.request('/v1/volumes/none'))).toBe('404 VOLUME_NOT_FOUND')
    await run('rm', 'reader', 'writer')
    await until('the volume can go', async () => {
      const result = await fn.fn('volume', 'rm', 'papers')
      return result.code === 0 || result.stderr
    })
    expect(await fn.json('/v1/volumes')).toEqual([])
  })
})

describe('secrets', () => {
  test('reach the functions that name them alone, are replaced without a deploy, and lie nowhere in plain', async () => {
    const unset = await fn.fn('deploy', KEEPER, '--name', 'keeper', '--secret', 'API_KEY')
    expect(unset.stderr).toContain('fn secret set API_KEY')
    const set = await fn.fnWithInput(SECRET, 'secret', 'set', 'API_KEY')
    expect(set.stdout.trim()).toBe('set API_KEY')
    await fn.deploy(KEEPER, '--name', 'keeper', '--secret', 'API_KEY')
    await fn.deploy(KEEPER, '--name', 'other')
    expect(await fn.json('/fn/keeper?env=API_KEY')).toBe(SECRET)
    expect(await fn.json('/fn/other?env=API_KEY')).toBe(null)
    const next = `${SECRET}-next`
    await fn.fnWithInput(next, 'secret', 'set', 'API_KEY')
    await until(
      'the new value is there',
      async () => (await fn.json('/fn/keeper?env=API_KEY')) === next || 'still the old one',
    )
    expect(await run('get', 'keeper', '--json')).toContain('"secrets":["API_KEY"]')
    expect(await run('secret', 'ls')).toMatch(/API_KEY +keeper/)
    expect(await fn.json('/v1/secrets/API_KEY')).not.toHaveProperty('value')
    expect(filesWith(stateDir, SECRET)).toEqual([])
    expect(statSync(join(stateDir, 'secret-key')).mode & 0o777).toBe(0o600)
    expect(await codeOf(await fn.request('/v1/secrets/API_KEY', { method: 'DELETE' }))).toBe('409 SECRET_IN_USE')
  })

  test('survive a restart, and bad ones are refused', async () => {
    await fn.kill9('everything')
    await fn.restart()
    expect(await fn.json('/fn/keeper?env=API_KEY')).toBe(`${SECRET}-next`)
    expect(await codeOf(await fn.request('/v1/secrets/1X', put('x')))).toBe('400 SECRET_INVALID')
    expect(await codeOf(await fn.request('/v1/secrets/X', put('')))).toBe('400 SECRET_INVALID')
    expect(await codeOf(await fn.request('/v1/secrets/X', put('x'.repeat(65 * 1024))))).toBe('413 BODY_TOO_LARGE')
  })
})

describe('tokens', () => {
  test('are for one namespace and their scopes, and others’ things look like nothing', async () => {
    const admin = await run('--namespace', 'shop', 'token', 'create', '--name', 'boss', '--scope', 'admin')
    const caller = await run('--namespace', 'shop', 'token', 'create', '--name', 'caller', '--expires', '30d')
    expect(caller).toMatch(/^fn_[a-z0-5]{10}_[\w-]{43}$/)
    expect(filesWith(stateDir, caller.slice(14))).toEqual([])
    await run('--namespace', 'shop', 'deploy', KEEPER, '--name', 'till', '--no-public')

    expect(await (await fn.request('/fn/till', as(caller))).text()).toBe('ok')
    expect(await codeOf(await fn.request('/fn/till', { headers: { 'fn-namespace': 'shop' } }))).toBe('401 UNAUTHORIZED')
    expect(await codeOf(await fn.request('/fn/other', as(caller, { 'fn-namespace': 'default' })))).toBe('403 FORBIDDEN')
    expect(await codeOf(await fn.request('/fn/none', as(caller, { 'fn-namespace': 'default' })))).toBe('403 FORBIDDEN')
    expect(await codeOf(await fn.request('/v1/functions/other', as(admin)))).toBe('404 FUNCTION_NOT_FOUND')
    expect(await codeOf(await fn.request('/v1/functions/other', as(admin, { 'fn-namespace': 'default' })))).toBe(
      '403 FORBIDDEN',
    )
    expect(await codeOf(await fn.request('/v1/functions/till', { method: 'DELETE', ...as(caller) }))).toBe(
      '403 FORBIDDEN',
    )
    expect(await codeOf(await fn.request('/v1/tokens', as(caller)))).toBe('403 FORBIDDEN')
    expect(await codeOf(await fn.request('/v1/config', as(admin)))).toBe('403 FORBIDDEN')
    const id = (await fn.request('/fn/other')).headers.get('fn-invocation-id')
    expect((await fn.request(`/v1/invocations/${id}`)).status).toBe(200)
    expect(await codeOf(await fn.request(`/v1/invocations/${id}`, as(admin)))).toBe('404 INVOCATION_NOT_FOUND')
    const seen = (await (await fn.request('/v1/sandboxes', as(admin))).json()) as { namespace: string }[]
    expect([...new Set(seen.map(({ namespace }) => namespace))]).toEqual(['shop'])
    const [foreign] = await fn.json<{ id: string }[]>('/v1/sandboxes', { headers: { 'fn-namespace': 'default' } })
    const kill = await fn.request(`/v1/sandboxes/${foreign?.id}/kill`, { method: 'POST', ...as(admin) })
    expect(await codeOf(kill)).toBe('404 SANDBOX_NOT_FOUND')

    expect(await run('--namespace', 'shop', 'token', 'ls')).toMatch(/boss +admin[\s\S]*caller +invoke/)
    expect(
      await codeOf(await fn.request('/v1/tokens/boss', { method: 'PUT', body: '{"scopes":["invoke"]}', ...as(admin) })),
    ).toBe('409 TOKEN_EXISTS')
    await run('--namespace', 'shop', 'token', 'rm', 'caller')
    expect(await codeOf(await fn.request('/fn/till', as(caller)))).toBe('401 UNAUTHORIZED')
  })

  test('have a rate, and what they change is in the audit log', async () => {
    const slow = await run('token', 'create', '--name', 'slow', '--scope', 'deploy', '--rate', '2/h')
    expect((await fn.request('/v1/functions', as(slow))).status).toBe(200)
    await fn.request('/v1/volumes/audited', { method: 'DELETE', ...as(slow) })
    const third = await fn.request('/v1/functions', as(slow))
    expect(third.headers.get('retry-after')).toMatch(/^1[78]\d\d$/)
    expect(await codeOf(third)).toBe('429 RATE_LIMITED')
    const expected = { who: 'slow', namespace: 'default', method: 'DELETE', path: '/v1/volumes/audited', status: 404 }
    await until('the audit log has it', () => auditLines().some((line) => matches(line, expected)) || 'not yet')
    expect(readFileSync(join(stateDir, 'audit/audit.jsonl'), 'utf8')).not.toContain(slow.slice(14))
  })
})

/** Whole lines alone: the last may be on its way. */
function auditLines(): Record<string, unknown>[] {
  const path = join(stateDir, 'audit/audit.jsonl')
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}

function matches(line: Record<string, unknown>, expected: Record<string, unknown>): boolean {
  return Object.entries(expected).every(([key, value]) => line[key] === value)
}

/** Files below a folder that hold the text, as it is or in base64. */
function filesWith(folder: string, text: string): string[] {
  const forms = [text, Buffer.from(text).toString('base64').slice(0, -4)].map((form) => Buffer.from(form))
  const found: string[] = []
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name)
    // The base layer is Node itself; images of volumes are sparse and may be huge. A file may go while this looks.
    if (!entry.isFile() || path.includes('/layers/') || path.endsWith('.img')) continue
    const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
    if (bytes > 64 * 1024 ** 2 || !existsSync(path)) continue
    const content = readFileSync(path)
    if (forms.some((form) => content.includes(form))) found.push(path)
  }
  return found
}
