// What an author is told when code, manifest or path is wrong: file, line, column, the line itself, and the way out.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { bundleHandler } from '../../../../cli/bundle/bundle.ts'
import { checkTypes } from '../../../../cli/bundle/type-check.ts'
import { CliError } from '../../../../cli/errors.ts'
import { formatFailure } from '../../../../cli/output/failure.ts'
import { createStyle } from '../../../../cli/output/style.ts'

const FIXTURES = fileURLToPath(new URL('../../../fixtures', import.meta.url))
const temporary = mkdtempSync(join(tmpdir(), 'fn-errors-'))
afterAll(() => rmSync(temporary, { recursive: true, force: true }))

/** The text a user sees for a bundle that fails. */
async function failure(path: string, cwd = FIXTURES): Promise<string> {
  const error = await bundleHandler(path, { cwd }).then(
    () => null,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(CliError)
  return formatFailure(error, createStyle({}, {}))
}

describe('code', () => {
  test('that does not parse is shown at its place', async () => {
    expect(await failure('broken/syntax.ts')).toMatchInlineSnapshot(`
      "fn: the code does not bundle
      broken/syntax.ts:4:3: Unexpected "return"
        4 |   return new Response(body)
          |   ^^^^^^
      "
    `)
  })
  test('that imports what is not installed says so, and how to install it', async () => {
    expect(await failure('broken/unresolved.ts')).toMatchInlineSnapshot(`
      "fn: the code does not bundle
      broken/unresolved.ts:2:25: Could not resolve "a-package-that-is-not-installed"
        2 | import { missing } from 'a-package-that-is-not-installed'
          |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      → is a-package-that-is-not-installed installed? npm install a-package-that-is-not-installed
      "
    `)
  })
  test('that imports a name which is not exported is shown at the import', async () => {
    expect(await failure('broken/missing-export.ts')).toMatchInlineSnapshot(`
      "fn: the code does not bundle
      broken/missing-export.ts:2:20: No matching export in "no-export.ts" for import "greetign"
        2 | import { greeting, greetign } from './no-export.ts'
          |                    ^^^^^^^^
        broken/no-export.ts:2:14: Did you mean to import "greeting" instead?
      "
    `)
  })
  test('whose CommonJS requires a module with a top-level await gets the way out', async () => {
    expect(await failure('broken/requires-await.cjs')).toMatchInlineSnapshot(`
      "fn: the code does not bundle
      broken/awaited.ts:2:18: top-level await in a module that is required
        2 | const settings = await fetch('http://127.0.0.1:9/settings').then((response) => response.json())
          |                  ^^^^^
      → a module with a top-level await can be imported, not required: use import, in an ES module
      "
    `)
  })
  test('with faults of several kinds gets all of them at once', async () => {
    expect(await failure('broken/two-imports.ts')).toMatchInlineSnapshot(`
      "fn: 2 errors
      broken/two-imports.ts:2:21: Could not resolve "./not-there.ts"
        2 | import { one } from './not-there.ts'
          |                     ^^^^^^^^^^^^^^^^

      broken/two-imports.ts:3:21: Could not resolve "not-installed-at-all"
        3 | import { two } from 'not-installed-at-all'
          |                     ^^^^^^^^^^^^^^^^^^^^^^
      → is not-installed-at-all installed? npm install not-installed-at-all
      "
    `)
  })
  test.each([
    ['npm:zod@3', 'import "zod" and run npm install zod'],
    ['npm:@scope/name@1/sub', 'import "@scope/name" and run npm install @scope/name'],
    ['jsr:@std/path@1', 'run npx jsr add @std/path, then import "@std/path"'],
    ['cloudflare:workers', 'exists in Cloudflare\u2019s runtime only'.replace('\u2019', "'")],
    ['bun:sqlite', 'exists in Bun only'],
    ['bun', 'exists in Bun only'],
  ])('that imports %s is told what instead', async (specifier, words) => {
    const folder = mkdtempSync(join(tmpdir(), 'fn-scheme-'))
    writeFileSync(join(folder, 'a.ts'), `import x from '${specifier}'\nexport default () => new Response(x)\n`)
    const error = (await bundleHandler('a.ts', { cwd: folder }).catch((thrown) => thrown)) as CliError
    rmSync(folder, { recursive: true })
    expect(error.details).toContain(words)
  })
  test('that imports from the network gets the way out', async () => {
    expect(await failure('broken/remote-import.ts')).toMatchInlineSnapshot(`
      "fn: the code does not bundle
      broken/remote-import.ts:2:19: cannot import https://example.org/x.js: install it as a package or copy it next to the handler
        2 | import { x } from 'https://example.org/x.js'
          |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^
      "
    `)
  })
  test('without a handler is told what it exports and what is expected', async () => {
    expect(await failure('broken/no-export.ts')).toMatchInlineSnapshot(`
      "fn: broken/no-export.ts exports greeting, but no handler
      expected one of:
        export default async (request) => new Response('hello')
        export default { fetch(request, env, ctx) { return new Response('hello') } }
        export default class { fetch(request, env, ctx) { … } }
        export default fromNode(app)    (req, res) and http servers; import { fromNode } from 'thaw'
        export const handler = async (event, context) => ({ statusCode: 200 })
      "
    `)
  })
  test('with a handler under another name is told the line to add', async () => {
    expect(await failure('broken/wrong-name.ts')).toContain('export default fetch')
  })
  test('columns count characters, not bytes', async () => {
    writeFileSync(join(temporary, 'wide.ts'), "export default () => 'äöü€' oops\n")
    expect(await failure('wide.ts', temporary)).toContain('wide.ts:1:29')
  })
})

describe('a path', () => {
  test('that is not there suggests what is', async () => {
    expect(await failure('handlers/short-form')).toContain('did you mean handlers/short-form.ts?')
    expect(await failure('handlers/short-from.ts')).toContain('did you mean handlers/short-form.ts?')
  })
  test('of a folder without an entry names the places looked at, the file and the key that would do', async () => {
    expect(await failure('broken/no-index')).toMatchInlineSnapshot(`
      "fn: folder broken/no-index has no entry
      looked for: entry of fn.json, src/index.ts, index.ts, handler.ts, app.ts, server.ts; .mts .cts .tsx .js .mjs .cjs .jsx as well
      → deploy one file, e.g. fn deploy broken/no-index/other.ts
      → or name the entry in broken/no-index/fn.json: {"entry": "other.ts"}
      "
    `)
  })
  test('of a folder whose manifest names a file that is not there, or outside, is refused', async () => {
    mkdirSync(join(temporary, 'lost'))
    writeFileSync(join(temporary, 'lost/fn.json'), '{"entry": "src/none.ts"}')
    expect(await failure('lost', temporary)).toContain('entry "src/none.ts" of lost does not exist')
    writeFileSync(join(temporary, 'lost/fn.json'), '{"entry": "../wide.ts"}')
    expect(await failure('lost', temporary)).toContain('lies outside the folder')
  })
  test('of something that is no source file is refused', async () => {
    expect(await failure('handlers/folder/fn.json')).toContain('not a TypeScript or JavaScript file')
  })
  test('that makes no DNS label suggests a name that does', async () => {
    cpSync(join(FIXTURES, 'handlers/short-form.ts'), join(temporary, 'My_Handler.ts'))
    expect(await failure('My_Handler.ts', temporary)).toContain('--name my-handler')
  })
})

describe('a manifest', () => {
  test('that is no JSON is shown at its place', async () => {
    expect(await failure('broken/bad-manifest.ts')).toMatchInlineSnapshot(`
      "fn: broken/bad-manifest.fn.json:3:17: not valid JSON: Unexpected token 'o'
      "
    `)
  })
  test.each([
    ['[]', 'expected a JSON object, got a list'],
    ['{"env": "A=1"}', 'env: expected an object, got a string'],
    ['{"name": 7}', 'name: expected text, got a number'],
    ['{"timeout": "7s"', 'shape.fn.json:1:17: not valid JSON'],
    ['{"timeout": "7s",}', 'shape.fn.json:1:18: not valid JSON'],
  ])('%s is refused: %s', async (text, words) => {
    cpSync(join(FIXTURES, 'handlers/short-form.ts'), join(temporary, 'shape.ts'))
    writeFileSync(join(temporary, 'shape.fn.json'), text)
    expect(await failure('shape.ts', temporary)).toContain(words)
  })
})

describe('types', () => {
  test('never stop a bundle; a check reports them with the file, and passes code that is right', async () => {
    const bundle = await bundleHandler('broken/type-error.ts', { cwd: FIXTURES })
    const options = { cwd: FIXTURES, colour: false }
    const error = await checkTypes(bundle.entryPath, options).then(
      () => null,
      (reason: CliError) => reason,
    )
    expect(error?.code).toBe('TYPE_CHECK_FAILED')
    expect(error?.details).toMatch(/broken\/type-error\.ts:2:7/)
    const { entryPath } = await bundleHandler('handlers/node-listener.ts', { cwd: FIXTURES })
    expect(await checkTypes(entryPath, options)).toBeGreaterThan(0)
  })
})
