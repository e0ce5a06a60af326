// Code that is loaded by a name: a require of its own making, names made at run time, threads and processes, add-ons; which module
// is a folder's entry, and what is told of an import that leads nowhere.
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Bundle, bundleHandler } from '../../../../cli/bundle/bundle.ts'
import { members, useProjectFolder } from '../../../support/project-folder.ts'

const project = useProjectFolder()
const { write, bundleOf, load } = project
const ANSWER = "export default () => new Response('ok')\n"

describe('what is loaded by a name', () => {
  const answer = async (bundle: Bundle): Promise<unknown> =>
    (await (await load(bundle)).default(new Request('http://x/?n=a'))).json()

  test.each([
    ['const require = createRequire(import.meta.url)', 'require'],
    ['const nodeRequire: NodeJS.Require = module.createRequire(import.meta.url);', 'nodeRequire'],
  ])('a require that the code makes itself is seen through: %s', async (declared, name) => {
    const bundle = await bundleOf({
      'node_modules/greet/package.json': '{"name": "greet", "version": "1.0.0"}',
      'node_modules/greet/index.js': "exports.greet = 'hello'",
      'lib/data.json': '{"x": 1}',
      'index.ts': `import module, { createRequire } from 'node:module'
${declared}
export const used = [module, createRequire]
const data = ${name}('./lib/data.json'), { greet } = ${name}('greet')
export default () => Response.json([data.x, greet])\n`,
    })
    expect(await answer(bundle)).toEqual([1, 'hello'])
  })

  test('one that loads names made at run time stays as it is', async () => {
    const bundle = await bundleOf({
      'index.ts': `import { createRequire } from 'node:module'
const require = createRequire(import.meta.url)
export default (request: Request) => Response.json(require('node:' + 'path').sep)\n`,
    })
    expect(await answer(bundle)).toBe('/')
  })

  test('require.resolve and import.meta.resolve count from their module, positions stay', async () => {
    const bundle = await bundleOf({
      'fn.json': '{"entry": "src/index.ts"}',
      'src/index.ts': `import { there } from './lib/there.cjs'\nexport default () => Response.json([there(), import.meta.resolve('./a.txt'), import.meta.resolve('node:fs')])\n`,
      'src/lib/there.cjs': `exports.there = () => { try { return require.resolve('./x.txt') } catch (error) { return error.requireStack[0] } }\n`,
    })
    expect(await answer(bundle)).toEqual(['/code/src/lib/there.cjs', 'file:///code/src/a.txt', 'node:fs'])
    expect(bundle.warnings.filter((warning) => /external|not available/.test(warning))).toEqual([])
  })

  test('a module without its ending is found by a name made at run time, as Node finds it', async () => {
    const bundle = await bundleOf({
      'locales/a.json': '{"x": 1}',
      'locales/b.js': '',
      'index.cjs': `module.exports = (request) => Response.json(require('./locales/' + new URL(request.url).searchParams.get('n')))\n`,
    })
    expect(await answer(bundle)).toEqual({ x: 1 })
  })

  test('an import of a name made at run time takes a URL and a path, as in Node', async () => {
    write({ 'there.cjs': 'exports.word = 1' })
    const bundle = await bundleOf({
      'index.ts': `const from = (name: string | URL) => import(name as string)
export default async () => {
  const url = new URL(${JSON.stringify(`file://${project.folder}/there.cjs`)})
  return Response.json([(await from(url)).word, (await from(url.href)).word, (await from(url.pathname)).word])
}\n`,
    })
    expect(await answer(bundle)).toEqual([1, 1, 1])
  })

  test('a package that requires one which awaits fails as in Node, not with undefined', async () => {
    const bundle = await bundleOf({
      'node_modules/waits/package.json': '{"name": "waits", "type": "module", "main": "i.js"}',
      'node_modules/waits/i.js': 'await null\nexport const a = 1\n',
      'node_modules/asks/package.json': '{"name": "asks"}',
      'node_modules/asks/index.js':
        "exports.now = () => require('waits').a\nexports.later = async () => (await import('waits')).a\n",
      'index.ts': `import { later, now } from 'asks'
export default async () => {
  try { return Response.json(now()) } catch (error: any) { return Response.json([await later(), error.code]) }
}\n`,
    })
    expect(await answer(bundle)).toEqual([1, 'ERR_REQUIRE_ASYNC_MODULE'])
  })

  test('an add-on of one’s own ships as a file', async () => {
    const bundle = await bundleOf({
      'build/Release/own.node': 'ELF',
      'src/index.ts': `import { createRequire } from 'node:module'
const require = createRequire(import.meta.url)
export default () => Response.json(require('../build/Release/own.node'))\n`,
    })
    expect(members(bundle)).toEqual(['files/build/Release/own.node'])
    expect(bundle.source.toString()).toContain('require("/code/build/Release/own.node")')
    await expect(
      bundleOf({ 'src/index.ts': `import own from '../../own.node'\nexport default own\n` }),
    ).rejects.toThrow()
  })
})

describe('modules that are started by a name of another form', () => {
  test.each([
    ['new Worker(new URL("./w.js", import.meta.url))', 'w.ts', 'w.js'],
    ['new Worker(join(import.meta.dirname, "lib/w.js"))', 'lib/w.ts', 'lib/w.js'],
    ['new Worker("./w.js")', 'w.js', 'w.js'],
    ['fork("lib/w.mjs")', 'lib/w.mts', 'lib/w.mjs'],
    ['new Worker(import.meta.filename)', 'w.ts', 'index.js'],
  ])('%s of %s ships %s', async (code, source, member) => {
    const bundle = await bundleOf({
      [source]: 'const word: string = "threaded"\nconsole.log(word)\n'.replace(
        /: string/,
        /ts$/.test(source) ? ': string' : '',
      ),
      'index.ts': `import { fork } from 'node:child_process'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
export const used = [fork, join, Worker]
export default () => new Response(String(${code}))\n`,
    })
    expect(bundle.files.map((file) => [file.member, file.path])).toEqual([[`files/${member}`, null]])
    expect(bundle.files[0]!.content!.toString()).toContain(member === 'index.js' ? 'Worker' : 'threaded')
    expect(bundle.warnings).toEqual([])
  })
})

describe('the entry of a folder', () => {
  test.each([
    ['src/index.ts', {}],
    ['handler.mjs', {}],
    ['app.ts', { 'server.ts': ANSWER }],
    ['lib/main.js', { 'package.json': '{"main": "./lib/main"}', 'index.ts': ANSWER }],
    ['src/index.ts', { 'package.json': '{"main": "dist/index.js"}' }],
  ])('is %s', async (entry, files) => {
    const bundle = await bundleOf({ [entry]: ANSWER, ...files })
    expect(bundle.manifest.entry).toBe(entry)
  })

  test('that is not found names the places looked at', async () => {
    const failed = bundleOf({ 'package.json': '{"main": "dist/index.js"}', 'other.ts': ANSWER })
    await expect(failed).rejects.toMatchObject({
      details: expect.stringMatching(
        /dist\/index\.js \(main of package\.json\), src\/index\.ts, index\.ts, handler\.ts, app\.ts, server\.ts/,
      ),
      hints: [expect.stringContaining('other.ts'), expect.stringContaining('fn.json')],
    })
  })

  test('the name is that of package.json where it can be one', async () => {
    for (const [name, expected] of [
      ['@acme/orders', 'orders'],
      ['My_App', 'api'],
    ] as const) {
      write({ 'api/index.ts': ANSWER, 'api/package.json': JSON.stringify({ name }) })
      expect((await bundleHandler('api', { cwd: project.folder })).name).toBe(expected)
    }
  })
})

describe('an import that leads nowhere is explained', () => {
  const hints = async (files: Readonly<Record<string, string>>, name: string): Promise<unknown> =>
    bundleOf({ ...files, 'index.ts': `import x from '${name}'\nexport default () => new Response(x)\n` }).catch(
      (error: { hints: string[] }) => error.hints.join(),
    )

  test.each([
    ['@/x', 'tsconfig.json'],
    ['#x', 'package.json'],
  ])('a name of the project’s own: %s', async (name, file) => {
    expect(await hints({ 'package.json': '{"imports": {"#x": "./x.ts"}}' }, name)).toContain(file)
  })

  test('a package of the workspace that is not built', async () => {
    write({ 'packages/lib/package.json': '{"name": "@w/lib", "main": "dist/index.js"}', 'node_modules/@w/x': '' })
    symlinkSync(join(project.folder, 'packages/lib'), join(project.folder, 'node_modules/@w/lib'))
    expect(await hints({}, '@w/lib')).toMatch(/is a package of your workspace .*packages\/lib.*is it built/)
  })

  test('a project of Yarn’s Plug and Play', async () => {
    expect(await hints({ '.pnp.cjs': '' }, 'left')).toContain('nodeLinker')
  })
})
