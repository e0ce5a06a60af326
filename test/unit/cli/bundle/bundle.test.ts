// Bundling of every form of handler, and what the result holds: bytes that run, positions, manifest, nothing of this machine.
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire, SourceMap } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileFunction } from 'node:vm'
import { afterAll, describe, expect, test } from 'vitest'
import { type Bundle, bundleHandler } from '../../../../cli/bundle/bundle.ts'

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url))
const HANDLERS = join(ROOT, 'test/fixtures/handlers')
const temporary = mkdtempSync(join(tmpdir(), 'fn-bundle-'))
afterAll(() => rmSync(temporary, { recursive: true, force: true }))

/** Runs a bundle as the sandbox does: a function around CommonJS. */
function load(bundle: Bundle): Record<string, unknown> {
  const module = { exports: {} as Record<string, unknown> }
  const run = compileFunction(bundle.source.toString(), ['exports', 'require', 'module', '__filename', '__dirname'])
  run(module.exports, createRequire(join(ROOT, 'package.json')), module, '/code/x.js', '/code')
  return module.exports
}
const bundleFixture = (path: string) => bundleHandler(path, { cwd: HANDLERS })
type Fetch = (request: Request) => Promise<Response>

describe('forms', () => {
  test.each([
    ['fetch-object.ts', 'web', 'fetch-object'],
    ['short-form.ts', 'web', 'short-form'],
    ['re-export.ts', 'web', 're-export'],
    ['node-listener.ts', 'web', 'node-listener'],
    ['common-js.cjs', 'web', 'common-js'],
    ['lambda-form.ts', 'lambda', 'lambda-form'],
    ['common-js-lambda.cjs', 'lambda', 'common-js-lambda'],
    ['folder', 'web', 'folder'],
    ['named-entry', 'web', 'by-name'],
  ])('%s is called as %s and named %s', async (path, form, name) => {
    const bundle = await bundleFixture(path)
    expect([bundle.form, bundle.name, bundle.manifest.form, bundle.manifest.name]).toEqual([form, name, form, name])
    expect(typeof load(bundle)[form === 'web' ? 'default' : 'handler']).toMatch(/function|object/)
    expect(bundle.packages).toEqual([])
    expect(bundle.warnings).toEqual([])
  })

  test('an object keeps its this, a CommonJS module is its own handler', async () => {
    const object = load(await bundleFixture('fetch-object.ts')).default as { fetch: Fetch }
    expect(await (await object.fetch(new Request('http://x/a'))).text()).toBe('hello from /a')
    const whole = load(await bundleFixture('common-js.cjs')).default as Fetch
    expect(await (await whole(new Request('http://x/', { method: 'PUT' }))).text()).toBe('cjs PUT')
  })

  test('a folder brings its other files', async () => {
    const bundle = await bundleFixture('folder')
    expect(await (load(bundle).default as () => Response)().text()).toBe('FOLDER')
    expect(bundle.inputs.map((path) => path.slice(HANDLERS.length + 1)).sort()).toEqual([
      'folder/index.ts',
      'folder/lib/shout.ts',
    ])
    expect(bundle.manifest.entry).toBe('index.ts')
  })
})

describe('what the code sees', () => {
  test('import.meta tells where the code lies inside, and import() works', async () => {
    const handler = load(await bundleFixture('import-meta.ts')).default as () => Promise<Response>
    expect(await (await handler()).json()).toEqual({
      url: 'file:///code/import-meta.js',
      folder: '/code',
      name: 'import-meta.js',
    })
  })

  test('thaw is the platform’s own module, wherever the folder is', async () => {
    cpSync(join(HANDLERS, 'node-listener.ts'), join(temporary, 'node-listener.ts'))
    const bundle = await bundleHandler('node-listener.ts', { cwd: temporary })
    expect(load(bundle).default).toHaveProperty('fetch')
  })
})

describe('the bytes', () => {
  test('are the same for the same content, in another folder too, and name no folder of this machine', async () => {
    for (const file of ['node-listener.ts', 'folder']) {
      cpSync(join(HANDLERS, file), join(temporary, 'one', file), { recursive: true })
      cpSync(join(HANDLERS, file), join(temporary, 'other', file), { recursive: true })
      const here = await bundleHandler(file, { cwd: join(temporary, 'one') })
      const there = await bundleHandler(file, { cwd: join(temporary, 'other') })
      expect(there.source.equals(here.source)).toBe(true)
      expect(there.sourceMap.equals(here.sourceMap)).toBe(true)
      for (const text of [there.source.toString(), there.sourceMap.toString()]) {
        expect(text).not.toContain(temporary)
        expect(text).not.toContain(ROOT)
      }
    }
  })

  test('come with a map to lines of the TypeScript, relative to the entry’s folder', async () => {
    const bundle = await bundleFixture('folder')
    const lines = bundle.source.toString().split('\n')
    const line = lines.findIndex((text) => text.includes('toUpperCase'))
    const map = new SourceMap(JSON.parse(bundle.sourceMap.toString()))
    const entry = map.findEntry(line, lines[line]!.indexOf('toUpperCase'))
    expect(entry).toMatchObject({ originalSource: 'lib/shout.ts', originalLine: 0 })
    expect(bundle.source.toString()).not.toContain('sourceMappingURL')
  })

  test('hold dependencies of the handler’s own node_modules', async () => {
    const folder = join(temporary, 'own')
    cpSync(join(HANDLERS, 'folder'), folder, { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    const bundle = await bundleHandler(folder, { cwd: temporary })
    expect(bundle.name).toBe('own')
    expect(bundle.packages).toEqual([])
  })
})

test('the example apps bundle, those of unmodified routers too', async () => {
  for (const name of ['api', 'itty', 'h3', 'express']) {
    const bundle = await bundleHandler(join('functions', name), { cwd: ROOT })
    expect([bundle.name, bundle.form]).toEqual([name, 'web'])
    const exported = load(bundle).default as { fetch?: unknown }
    expect(typeof exported.fetch, name).toBe('function')
  }
})
