// Code as people have it: what is read at run time, threads, WebAssembly, decorators, awaits, links. Each bundle is made from
// files written here and run as a sandbox does.
import { linkSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { unpackTar } from 'modern-tar/fs'
import { describe, expect, test } from 'vitest'
import { packBundle } from '../../../../cli/bundle/archive.ts'
import { bundleHandler } from '../../../../cli/bundle/bundle.ts'
import { members, useProjectFolder } from '../../../support/project-folder.ts'

const project = useProjectFolder()
const { write, bundleOf, bundleHere, load } = project
const ANSWER = "export default () => new Response('ok')\n"

// biome-ignore lint/suspicious/noTemplateCurlyInString: code of a handler
const IN_TEMPLATE = 'readFileSync(`${__dirname}/a.txt`)'
// biome-ignore lint/suspicious/noTemplateCurlyInString: code of a package
const JSX_RUNTIME = 'exports.jsx = (tag, { children }) => `<${tag}>${children}</${tag}>`'

describe('files the code reads', () => {
  test.each([
    ['readFileSync(new URL("./a.txt", import.meta.url))', 'a.txt'],
    ['readFileSync(join(import.meta.dirname, "t/a.hbs"))', 't/a.hbs'],
    ['readFileSync(join(__dirname, "a.txt"))', 'a.txt'],
    [IN_TEMPLATE, 'a.txt'],
    ['readFileSync(join(process.cwd(), "a.txt"))', 'a.txt'],
    ['createRequire(import.meta.url)("./package.json")', 'package.json'],
    ['readFileSync(new URL(import.meta.resolve("./a.txt")))', 'a.txt'],
    ['readFileSync("./t/a.hbs", "utf8")', 't/a.hbs'],
    ['readFileSync("t/" + ["a.hbs"])', 't/a.hbs'],
    ['readFileSync(join("t", ["a.hbs"].join("")))', 't/a.hbs'],
    ['serveStatic({ root: "public" })', 'public/a.css'],
    ['join(import.meta.dirname, "locales/{{lng}}/{{ns}}.json")', 'locales/en/a.json'],
    ['({ apis: ["./none.ts", "./routes/*.js"] })', 'routes/a.js'],
    ['readFileSync(new URL("./a%20b.txt", import.meta.url))', 'a b.txt'],
  ])('%s ships %s', async (expression, file) => {
    const bundle = await bundleOf({
      [file]: '{}',
      'index.ts': `import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
export const used = [readFileSync, createRequire, join]
export const serveStatic = ({ root }: { root: string }) => root
const text = () => ${expression}
export default () => new Response(String(text()))\n`,
    })
    expect(members(bundle)).toEqual([`files/${file}`])
    expect(bundle.warnings).toEqual([])
  })

  test('a view engine takes the folder views along; one that is not named stays here', async () => {
    const files = { 'views/a.ejs': 'a', 'other/b.txt': 'b', '.env': 'SECRET=1' }
    const source = (code: string) => `declare const app: any\n${code}\nexport default () => new Response(app)\n`
    expect(members(await bundleOf({ ...files, 'index.ts': source("app.set('view engine', 'ejs')") }))).toEqual([
      'files/views/a.ejs',
    ])
    const priv = await bundleOf({
      ...files,
      'index.ts': "import fs from 'node:fs'\nexport default () => new Response(fs.readFileSync('.env'))\n",
    })
    expect(members(priv)).toEqual([])
  })

  test('templates next to one that is named ship, too', async () => {
    const files = { 'views/a.ejs': '<%- include("part/b") %>', 'views/part/b.ejs': 'b', 'views/c.txt': 'c' }
    const bundle = await bundleOf({
      ...files,
      'index.ts': `import fs from 'node:fs'\nexport default () => new Response(fs.readFileSync('views/a.ejs'))\n`,
    })
    expect(members(bundle)).toEqual(['files/views/a.ejs', 'files/views/part/b.ejs'])
  })

  test('a package of the workspace takes its files along, below node_modules', async () => {
    write({
      'lib/package.json': '{"name": "@w/lib", "main": "src/index.ts", "type": "module"}',
      'lib/src/index.ts': `import fs from 'node:fs'
export const read = () => fs.readFileSync(new URL('../data.txt', import.meta.url))
export const where: string = import.meta.url\n`,
      'lib/data.txt': 'data',
      'api/index.ts': `import { read, where } from '@w/lib'\nexport default () => Response.json([where, typeof read])\n`,
      'api/node_modules/@w/x': '',
    })
    symlinkSync(join(project.folder, 'lib'), join(project.folder, 'api/node_modules/@w/lib'))
    const bundle = await bundleHere('api')
    expect([members(bundle), bundle.warnings]).toEqual([['files/node_modules/@w/lib/data.txt'], []])
    expect(await (await (await load(bundle)).default()).json()).toEqual([
      'file:///code/node_modules/@w/lib/src/index.js',
      'function',
    ])
  })

  test('a folder with more files than may ship is refused, not cut', async () => {
    const files = Object.fromEntries(Array.from({ length: 10_001 }, (_, index) => [`d/${index}`, '']))
    await expect(
      bundleOf({
        ...files,
        'index.ts': "import fs from 'node:fs'\nexport default () => Response.json(fs.readdirSync('d'))\n",
      }),
    ).rejects.toThrow(/more than 10000 files/)
  })

  test('an address that is no path is said, not thrown', async () => {
    const bundle = await bundleOf({
      'index.ts': `import fs from 'node:fs'\nexport default () => new Response(fs.readFileSync(new URL('./100%.txt', import.meta.url)))\n`,
    })
    expect(bundle.warnings).toEqual([expect.stringContaining('./100%.txt')])
  })

  test('a pattern with ! takes away from those before it', async () => {
    const files = { 'public/a.txt': '', 'public/secret/b.txt': '', 'index.ts': ANSWER }
    const listing = (...patterns: string[]) => bundleOf({ ...files, 'fn.json': JSON.stringify({ files: patterns }) })
    expect(members(await listing('public/**', '!public/secret/**'))).toEqual(['files/public/a.txt'])
    expect(members(await listing('public/**', '!public/secret', 'public/secret/b.txt'))).toHaveLength(2)
    await expect(listing('public/**', '!../x')).rejects.toThrow(/leads out of the folder/)
  })

  test('names that begin with a dot are said to need writing out', async () => {
    const files = { 'public/.well-known/a.txt': '', 'index.ts': ANSWER }
    await expect(bundleOf({ ...files, 'fn.json': '{"files": ["public/**"]}' })).rejects.toThrow(/begin with a dot/)
    const named = await bundleOf({ ...files, 'fn.json': '{"files": ["public/.well-known/**"]}' })
    expect(members(named)).toEqual(['files/public/.well-known/a.txt'])
  })

  test('each module knows its own place below /code, also in a folder of its own', async () => {
    const bundle = await bundleOf({
      'fn.json': '{"entry": "src/index.ts"}',
      'src/index.ts': `import { where } from './lib/where.ts'\nexport default () => Response.json([where, import.meta.url, __dirname])\n`,
      'src/lib/where.ts': 'export const where = [import.meta.filename, import.meta.dirname]\n',
    })
    const { default: handler } = await load(bundle)
    expect(await (await handler()).json()).toEqual([
      ['/code/src/lib/where.js', '/code/src/lib'],
      'file:///code/src/index.js',
      '/code/src',
    ])
  })

  test('a module that makes __dirname itself keeps its own', async () => {
    const bundle = await bundleOf({
      'index.ts': `import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
const __dirname = dirname(fileURLToPath(import.meta.url))
export default () => new Response(__dirname)\n`,
    })
    expect(await (await (await load(bundle)).default()).text()).toBe('/code')
  })

  test('files lists patterns and folders; what fits none, or lies outside, is refused', async () => {
    write({ 'public/a.css': '', 'public/deep/b.js': '', 'note.md': '', 'index.ts': ANSWER, 'node_modules/x/a.css': '' })
    write({ 'fn.json': '{"files": ["public", "*.md"]}' })
    expect(members(await bundleHere())).toEqual(['files/note.md', 'files/public/a.css', 'files/public/deep/b.js'])
    for (const [files, words] of [
      ['["nothing/**"]', /fn\.json: files: no file fits "nothing\/\*\*"/],
      ['["../x"]', /leads out of the folder/],
      ['["/etc/passwd"]', /leads out of the folder/],
      ['"public"', /expected a list of patterns/],
    ] as const) {
      write({ 'fn.json': `{"files": ${files}}` })
      await expect(bundleHere()).rejects.toThrow(words)
    }
    symlinkSync('/etc/hostname', join(project.folder, 'public', 'link'))
    write({ 'fn.json': '{"files": ["public/**"]}' })
    await expect(bundleHere()).rejects.toThrow(/is a link to outside the folder/)
  })

  test('what is named and cannot ship is said: missing, outside, private', async () => {
    write({ 'app/.env': 'SECRET=1', 'shared.txt': '' })
    write({
      'app/index.ts': `import { readFileSync } from 'node:fs'
const read = () => [new URL('./gone.txt', import.meta.url), readFileSync(new URL('../shared.txt', import.meta.url)), readFileSync(new URL('./.env', import.meta.url))]
export default () => new Response(String(read()))\n`,
    })
    const bundle = await bundleHandler('app', { cwd: project.folder })
    expect(members(bundle)).toEqual([])
    expect(bundle.warnings.join('\n')).toMatch(/index\.ts names \.\/gone\.txt, which does not exist/)
    expect(bundle.warnings.join('\n')).toMatch(/shared\.txt lies outside the function's folder/)
    expect(bundle.warnings.join('\n')).toMatch(/\.env does not ship; name it in "files"/)
  })

  test('a name below /proc that is made at run time is not searched for: nothing there ships', async () => {
    const reads =
      "import { readFileSync } from 'node:fs'\nexport const of = (pid) => readFileSync('/proc/' + pid + '/status')\n"
    const bundle = await bundleOf({ 'index.js': `${reads}${ANSWER}` })
    expect(members(bundle)).toEqual([])
    expect(bundle.warnings.filter((text) => text.includes('/proc'))).toEqual([])
  })

  test('a package that reads files of its own ships as it is installed', async () => {
    const bundle = await bundleOf({
      'node_modules/has-data/package.json': '{"name":"has-data","version":"1.0.0","main":"lib/i.js"}',
      'node_modules/has-data/lib/i.js':
        "module.exports = () => require('fs').readFileSync(__dirname + '/../d.txt', 'utf8')",
      'node_modules/has-data/d.txt': 'its data',
      'index.ts': "import d from 'has-data'\nexport default () => new Response(d())\n",
    })
    expect(bundle.packages.map(({ member }) => member)).toEqual(['node_modules/has-data'])
    expect(await (await (await load(bundle)).default()).text()).toBe('its data')
  })
})

describe('modules that run by themselves', () => {
  test('a worker thread’s module is bundled under its own name, in the form Node takes it for', async () => {
    const index = `import { Worker } from 'node:worker_threads'
export default () => new Response(String(new Worker(new URL('./worker.ts', import.meta.url))))\n`
    const worker = "import { greet } from './greet.ts'\nconsole.log(greet())\n"
    const greet = "export const greet = () => 'hello'\n"
    const asScript = await bundleOf({ 'index.ts': index, 'worker.ts': worker, 'greet.ts': greet })
    expect(members(asScript)).toEqual(['files/worker.ts'])
    expect(asScript.files[0]!.content!.toString()).toContain('hello')
    expect(asScript.files[0]!.content!.toString()).not.toMatch(/^(import|export) /m)
  })
})

describe('packages', () => {
  test('one that another could use and that is not installed is left to run time, with a warning', async () => {
    const bundle = await bundleOf({
      'node_modules/knexlike/package.json': '{"name":"knexlike","version":"1.0.0","main":"i.js"}',
      'node_modules/knexlike/i.js': "exports.pg = () => require('pg-not-here')\nexports.ok = () => 'ok'",
      'index.ts': "import { ok } from 'knexlike'\nexport default () => new Response(ok())\n",
    })
    expect(await (await (await load(bundle)).default()).text()).toBe('ok')
    expect(bundle.warnings).toEqual([
      'package knexlike can use pg-not-here, which is not installed: code that needs it fails when it runs',
    ])
  })

  test('external keeps a package out of the bundle: it ships when it is installed, and is missed when it is not', async () => {
    const bundle = await bundleOf({
      'fn.json': '{"external": ["plain", "@not/*"]}',
      'node_modules/plain/package.json': '{"name":"plain","version":"1.0.0","type":"module","exports":"./i.js"}',
      'node_modules/plain/i.js': "export default 'plain'\nexport const named = 'named'",
      'index.ts': `import main, { named } from 'plain'
export default async () => new Response([main, named, await import('@not/here').catch((e) => e.code)].join())\n`,
    })
    expect(bundle.packages.map(({ member }) => member)).toEqual(['node_modules/plain'])
    expect(await (await (await load(bundle)).default()).text()).toBe('plain,named,MODULE_NOT_FOUND')
    write({ 'fn.json': '{"external": "plain"}' })
    await expect(bundleHere()).rejects.toThrow(/fn\.json: external: expected at most 100 names/)
  })

  test('files of several names, as pnpm installs them, and links are sent whole', async () => {
    const store = join(project.folder, 'store.js')
    write({ 'store.js': "module.exports = 'linked'", 'store.txt': 'by a link' })
    write({
      'node_modules/a/package.json': '{"name":"a","version":"1.0.0","gypfile":true}',
      'index.ts': "import a from 'a'\nexport default () => new Response(a)\n",
    })
    linkSync(store, join(project.folder, 'node_modules/a/index.js'))
    linkSync(store, join(project.folder, 'node_modules/a/again.js'))
    symlinkSync(join(project.folder, 'store.txt'), join(project.folder, 'node_modules/a/note.txt'))
    const out = join(project.folder, 'out')
    const tar = packBundle(await bundleHere())
    await pipeline(tar, unpackTar(out))
    const { readFileSync, lstatSync } = await import('node:fs')
    for (const name of ['index.js', 'again.js']) {
      expect(readFileSync(join(out, 'node_modules/a', name), 'utf8')).toBe("module.exports = 'linked'")
      expect(lstatSync(join(out, 'node_modules/a', name)).nlink).toBe(1)
    }
    expect(lstatSync(join(out, 'node_modules/a/note.txt')).isFile()).toBe(true)
  })
})

describe('what esbuild does not make', () => {
  const ADD = Uint8Array.from(
    Buffer.from('0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b', 'hex'),
  )

  test('a .wasm import is a WebAssembly.Module, with ?bytes its bytes', async () => {
    const bundle = await bundleOf({
      'add.wasm': ADD,
      'index.ts': `import add from './add.wasm'
import bytes from './add.wasm?bytes'
export default async () => {
  const sync = new WebAssembly.Instance(add as never).exports as { add(a: number, b: number): number }
  const { instance } = (await WebAssembly.instantiate(bytes as never)) as never as { instance: { exports: typeof sync } }
  return Response.json([add instanceof WebAssembly.Module, sync.add(2, 3), instance.exports.add(1, 1)])
}\n`,
    })
    expect(await (await (await load(bundle)).default()).json()).toEqual([true, 5, 2])
  })

  test('decorators have their metadata where tsconfig.json wants it, across modules and by extends', async () => {
    const bundle = await bundleOf({
      'base.json': '{"compilerOptions":{"experimentalDecorators":true,"emitDecoratorMetadata":true}}',
      'tsconfig.json': '{"extends":"./base.json"}',
      'service.ts': 'export class Service {}\n',
      'index.ts': `import { Service } from './service.ts'
const seen: unknown[] = []
;(Reflect as any).metadata = (key: string, value: any) => () => { seen.push([key, value.map?.((one: any) => one.name)]) }
const Injectable = (): ClassDecorator => () => {}
@Injectable()
export class Controller { constructor(readonly service: Service) {} }
export default () => Response.json(seen)\n`,
    })
    expect(await (await (await load(bundle)).default()).json()).toEqual([['design:paramtypes', ['Service']]])
    expect(JSON.parse(bundle.sourceMap.toString()).sources).toContain('index.ts')
  })

  test('a JSX pragma is enough to choose the runtime', async () => {
    const bundle = await bundleOf({
      'node_modules/mini/package.json': '{"name":"mini","version":"1.0.0"}',
      'node_modules/mini/jsx-runtime.js': JSX_RUNTIME,
      'index.tsx': '/** @jsxImportSource mini */\nexport default () => new Response((<h1>hi</h1>) as never)\n',
    })
    expect(await (await (await load(bundle)).default()).text()).toBe('<h1>hi</h1>')
  })

  test('top-level await works, in the handler and in what it imports', async () => {
    const bundle = await bundleOf({
      'node_modules/waits/package.json': '{"name":"waits","version":"1.0.0","type":"module","main":"i.js"}',
      'node_modules/waits/i.js':
        "import { basename } from 'node:path'\nexport const word = await Promise.resolve(basename('/a/waited'))",
      'index.ts': `import { readFileSync } from 'node:fs'
import { word } from 'waits'
const later = await new Promise((done) => setTimeout(done, 1, 'later'))
export default () => new Response([word, later, typeof readFileSync].join())\n`,
    })
    expect(await (await (await load(bundle)).default()).text()).toBe('waited,later,function')
  })

  test('an entry that is a link is the code it leads to, under the link’s name', async () => {
    write({
      'real/a.ts': "import { word } from './word.ts'\nexport default () => new Response(word)\n",
      'real/word.ts': "export const word = 'through a link'\n",
    })
    symlinkSync('real/a.ts', join(project.folder, 'link.ts'))
    const bundle = await bundleHandler('link.ts', { cwd: project.folder })
    expect(bundle.name).toBe('link')
    expect(await (await (await load(bundle)).default()).text()).toBe('through a link')
  })
})
