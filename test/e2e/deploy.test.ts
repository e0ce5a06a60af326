// Deploying through `fn` and HTTP: versions, what a broken deploy says, and that it never replaces a working version.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'

let platform: Platform
let folder: string
beforeAll(async () => {
  platform = await startPlatform()
  folder = mkdtempSync(join(tmpdir(), 'thaw-deploy-'))
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await platform.stop()
})

/** Writes a handler file into the test's own folder and returns its path. */
function handler(name: string, source: string): string {
  const path = join(folder, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, source)
  return path
}
const broken = (name: string): string => join(ROOT, 'test', 'fixtures', 'broken', name)
const answer = async (path: string): Promise<string> => (await platform.request(path)).text()

describe('versions', () => {
  test('new content makes the next version, the same content the same one, and the call sees the newest', async () => {
    const path = handler('greet.ts', "export default () => new Response('one')\n")
    await platform.deploy(path)
    expect(await answer('/fn/greet')).toBe('one')
    handler('greet.ts', "export default () => new Response('two')\n")
    await platform.deploy(path)
    expect(await answer('/fn/greet')).toBe('two')
    const again = await platform.fn('deploy', path, '--json')
    expect(JSON.parse(again.stdout)).toMatchObject({ version: 2 })
    handler('greet.ts', "export default () => new Response('one')\n")
    const back = await platform.fn('deploy', path, '--json')
    expect(JSON.parse(back.stdout)).toMatchObject({ version: 1 })
    expect(await answer('/fn/greet')).toBe('one')
    expect(await answer('/fn/greet@2')).toBe('two')
    const versions = await platform.json<{ version: number }[]>('/v1/functions/greet/versions')
    expect(versions.map((entry) => entry.version)).toEqual([1, 2])
  })

  test('a rollback holds from the next call on, and an alias splits calls by weight', async () => {
    const path = handler('split.ts', "export default () => new Response('a')\n")
    await platform.deploy(path)
    handler('split.ts', "export default () => new Response('b')\n")
    await platform.deploy(path)
    expect(await answer('/fn/split')).toBe('b')
    expect((await platform.fn('rollback', 'split')).code).toBe(0)
    expect(await answer('/fn/split')).toBe('a')
    expect((await platform.fn('alias', 'split', 'prod', '1=80', '2=20')).code).toBe(0)
    const seen = { a: 0, b: 0 }
    for (let i = 0; i < 200; i++) seen[(await answer('/fn/split@prod')) as 'a' | 'b']++
    // 200 draws at 20 %: 40 expected, standard deviation 5.7
    expect(seen.b).toBeGreaterThan(12)
    expect(seen.b).toBeLessThan(70)
    const wrong = await platform.fn('alias', 'split', 'prod', '1=80', '2=30')
    expect(wrong.code).not.toBe(0)
    expect(wrong.stderr).toContain('100')
  })

  test('a deleted function is unknown at once and its name starts again', async () => {
    await platform.deploy(handler('gone.ts', "export default () => new Response('here')\n"))
    expect(await answer('/fn/gone')).toBe('here')
    expect((await platform.fn('rm', 'gone')).code).toBe(0)
    const response = await platform.request('/fn/gone')
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ code: 'FUNCTION_NOT_FOUND', component: 'gateway' })
  })
})

describe('configuration', () => {
  test('x.fn.json beside x.ts holds, flags go over it, and an unknown key is an error with a suggestion', async () => {
    const path = handler(
      'tuned.ts',
      'export default (_r: Request, ctx: { deadline: number }) => Response.json({ left: ctx.deadline - Date.now(), who: process.env.WHO })\n',
    )
    writeFileSync(
      join(folder, 'tuned.fn.json'),
      JSON.stringify({ timeout: '7s', env: { WHO: 'file' }, limits: { memory: '96m' } }),
    )
    await platform.deploy(path, '--memory', '80m', '--env', 'WHO=flag')
    const body = JSON.parse(await answer('/fn/tuned')) as { left: number; who: string }
    expect(body.left).toBeLessThanOrEqual(7000)
    expect(body.who).toBe('flag')
    const entry = await platform.json<{ versions: { config: { limits: { memory: number } } }[] }>('/v1/functions/tuned')
    expect(entry.versions.at(-1)?.config.limits.memory).toBe(80 * 1024 ** 2)
    writeFileSync(join(folder, 'tuned.fn.json'), JSON.stringify({ timeuot: '7s' }))
    const result = await platform.fn('deploy', path)
    expect(result.code).toBe(1)
    expect(result.stderr).toContain('timeuot')
    expect(result.stderr).toContain('timeout')
  })

  test('a name that is not a DNS label is refused with what is expected', async () => {
    const path = handler('fine.ts', "export default () => new Response('x')\n")
    const result = await platform.fn('deploy', path, '--name', 'Not_A_Label')
    expect(result.code).not.toBe(0)
    expect(result.stderr).toMatch(/Not_A_Label/)
    expect((await platform.request('/v1/functions/Not_A_Label')).status).toBe(400)
  })

  test('a folder has its own fn.json and index.ts, and dependencies of its own node_modules', async () => {
    const root = join(folder, 'shouter')
    mkdirSync(join(root, 'node_modules', 'loud'), { recursive: true })
    writeFileSync(
      join(root, 'node_modules', 'loud', 'package.json'),
      JSON.stringify({ name: 'loud', version: '1.0.0', main: 'index.js' }),
    )
    writeFileSync(join(root, 'node_modules', 'loud', 'index.js'), 'module.exports = (text) => text.toUpperCase()\n')
    writeFileSync(join(root, 'fn.json'), JSON.stringify({ name: 'shout', timeout: '5s' }))
    writeFileSync(join(root, 'index.ts'), "import loud from 'loud'\nexport default () => new Response(loud('quiet'))\n")
    await platform.deploy(root)
    expect(await answer('/fn/shout')).toBe('QUIET')
  })
})

describe('a broken deploy', () => {
  test('never replaces a working version, whichever way it is broken', async () => {
    const path = handler('solid.ts', "export default () => new Response('works')\n")
    await platform.deploy(path)
    for (const file of [
      'throws-at-load.ts',
      'exits-at-load.ts',
      'eats-memory.ts',
      'never-loads.ts',
      'syntax.ts',
      'unresolved.ts',
      'no-export.ts',
    ]) {
      const copy = join(folder, file)
      cpSync(broken(file), copy)
      const result = await platform.fn('deploy', copy, '--name', 'solid', '--init-timeout', '2s')
      expect(result.code, `${file}: ${result.stderr}`).toBe(1)
      expect(await answer('/fn/solid')).toBe('works')
    }
    const versions = await platform.json<unknown[]>('/v1/functions/solid/versions')
    expect(versions).toHaveLength(1)
  })

  test('shows file, line, column and code frame of a syntax error and of an unresolved import', async () => {
    const syntax = await platform.fn('deploy', broken('syntax.ts'))
    expect(syntax.stderr).toMatch(/syntax\.ts:4:\d+/)
    expect(syntax.stderr).toContain('return new Response(body)')
    const unresolved = await platform.fn('deploy', broken('unresolved.ts'))
    expect(unresolved.stderr).toMatch(/unresolved\.ts:2:\d+/)
    expect(unresolved.stderr).toContain('a-package-that-is-not-installed')
    const exported = await platform.fn('deploy', broken('no-export.ts'))
    expect(exported.stderr).toContain('greeting')
    expect(exported.stderr).toContain('export default')
  })

  test('that throws at load answers with the stack in the lines of the TypeScript', async () => {
    const result = await platform.fn('deploy', broken('throws-at-load.ts'))
    expect(result.code).toBe(1)
    expect(result.stderr).toMatch(/throws-at-load\.ts:7:\d+/)
    expect(result.stderr).toContain('TypeError')
    expect((await platform.request('/fn/throws-at-load')).status).toBe(404)
  })

  test('is type-checked only with --check', async () => {
    const path = join(folder, 'type-error.ts')
    cpSync(broken('type-error.ts'), path)
    const checked = await platform.fn('deploy', path, '--check')
    expect(checked.code).toBe(1)
    expect(checked.stderr + checked.stdout).toMatch(/type-error\.ts/)
    await platform.deploy(path)
    expect(await answer('/fn/type-error')).toBe('count three')
  })

  test('leaves no sandbox and no temporary file behind', async () => {
    const sandboxes = await platform.json<{ function: string }[]>('/v1/sandboxes')
    expect(sandboxes.filter((sandbox) => sandbox.function.endsWith('-load'))).toEqual([])
  })
})

describe('the deploy endpoint', () => {
  test('wants a token and a tar it can read', async () => {
    const anonymous = await fetch(`${platform.url}/v1/functions/x`, { method: 'PUT', body: 'x' })
    expect(anonymous.status).toBe(401)
    const garbage = await platform.request('/v1/functions/x', {
      method: 'PUT',
      body: readFileSync(join(ROOT, 'README.md')),
    })
    expect(garbage.status).toBe(400)
    expect(garbage.headers.get('content-type')).toContain('application/problem+json')
    expect((await platform.request('/v1/functions/x')).status).toBe(404)
  })
})
