// Programs of other people, deployed and called as they are. What is tried and how it went is docs/compatibility.md, which this
// test compares; with FN_WRITE_DOCS=1 it writes the page.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { installByPnpm, installedPrograms } from '../support/programs.ts'

interface Program {
  readonly name: string
  /** Package whose version the page tells. */
  readonly package: string
  /** What is special about it, as the page says it. */
  readonly tries: string
  /** Path below the function, and what the answer has to hold. */
  readonly path?: string
  readonly answer: string | RegExp
}

const PROGRAMS: readonly Program[] = [
  {
    name: 'express-views',
    package: 'express',
    tries: 'templates and a static folder of its own; an engine that is required by a computed name (`external`)',
    answer: '<h1>Hello Ada</h1>\n',
  },
  {
    name: 'koa',
    package: 'koa',
    tries: 'an app for the http server of Node',
    path: '/hello/Ada',
    answer: '{"hello":"Ada"}',
  },
  {
    name: 'nest',
    package: '@nestjs/core',
    tries: 'decorator metadata, packages that are not installed, top-level await',
    path: '/hello',
    answer: '{"hello":"from Nest"}',
  },
  {
    name: 'yoga',
    package: 'graphql-yoga',
    tries: 'a fetch handler with classes of its own',
    path: '/?query={hello}',
    answer: '{"data":{"hello":"from GraphQL"}}',
  },
  {
    name: 'knex',
    package: 'knex',
    tries: 'seven drivers that are not installed',
    answer: 'select "name" from "users" where "id" = 7',
  },
  { name: 'pdfkit', package: 'pdfkit', tries: 'font metrics beside its modules', answer: /^%PDF-1\.3/ },
  { name: 'sqljs', package: 'sql.js', tries: 'WebAssembly beside its module', answer: '[[42]]' },
  { name: 'jsdom', package: 'jsdom', tries: 'a style sheet and a worker of its own', answer: 'there' },
  { name: 'pino', package: 'pino', tries: 'a transport in a worker thread', answer: 'ok' },
  {
    name: 'swagger',
    package: 'swagger-ui-express',
    tries: 'static files of another package',
    path: '/docs/swagger-ui.css',
    answer: /swagger-ui/,
  },
  { name: 'mjml', package: 'mjml', tries: 'a compiler of 6 MB', answer: /<!doctype html>/i },
  { name: 'handlebars', package: 'handlebars', tries: 'a template read at run time', answer: 'Hello Ada\n' },
  { name: 'ws', package: 'ws', tries: 'native parts that are not installed; client and server inside', answer: 'echo' },
  {
    name: 'fastify',
    package: 'fastify',
    tries: 'an app with a plugin that serves files',
    path: '/public/note.txt',
    answer: 'from a plugin\n',
  },
  {
    name: 'piscina',
    package: 'piscina',
    tries: 'a pool of threads, whose module is named as it is called once compiled',
    answer: '6765',
  },
  {
    name: 'i18next',
    package: 'i18next',
    tries: 'files that are named by a pattern, from the working folder',
    answer: 'Guten Tag, Ada',
  },
  { name: 'nunjucks', package: 'nunjucks', tries: 'templates that include each other', answer: 'Hello Ada' },
  {
    name: 'typeorm',
    package: 'typeorm',
    tries: 'decorator metadata; a driver that is required by a computed name',
    answer: /^\[\{"id":1,"name":"Ada"/,
  },
  {
    name: 'sharp-by-pnpm',
    package: 'sharp',
    tries: 'native code, installed by pnpm as hard links',
    answer: /"format":"png".*"width":4/,
  },
]

let platform: Platform
let folder: string
beforeAll(async () => {
  ;[platform, folder] = await Promise.all([startPlatform(), installedPrograms()])
  await installByPnpm(folder, 'sharp-by-pnpm')
})
afterAll(async () => {
  await platform?.stop()
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
})

test.each(PROGRAMS)('$name: $tries', async ({ name, path = '', answer }) => {
  await platform.deploy(join(folder, name), '--memory', '256m')
  const response = await platform.request(`/fn/${name}${path}`)
  const body = await response.text()
  expect([response.status, body]).toEqual([200, typeof answer === 'string' ? answer : expect.stringMatching(answer)])
})

test('a static file, a second answer and the lines of a transport come, too', async () => {
  expect(await (await platform.request('/fn/express-views/static/style.css')).text()).toContain('teal')
  expect(await (await platform.request('/fn/swagger/docs/')).text()).toContain('<div id="swagger-ui">')
  expect((await platform.fn('logs', 'pino')).stdout).toContain('written by a transport')
})

test('docs/compatibility.md tells what was tried', () => {
  const page = join(ROOT, 'docs', 'compatibility.md')
  const table = ['| program | version | what is tried | result |', '|---|---|---|---|', ...PROGRAMS.map(rowOf)].join(
    '\n',
  )
  const text = readFileSync(page, 'utf8')
  const written = text.replace(
    /(<!-- programs -->\n)[\s\S]*?(\n<!-- end -->)/,
    (_, start, end) => `${start}${table}${end}`,
  )
  if (process.env.FN_WRITE_DOCS === '1') writeFileSync(page, written)
  expect(readFileSync(page, 'utf8')).toBe(written)
})

/** Every row has passed its test: a page with another result would fail there. */
function rowOf({ package: name, tries, name: program }: Program): string {
  const from = program === 'sharp-by-pnpm' ? join(folder, program) : folder
  const { version } = JSON.parse(readFileSync(join(from, 'node_modules', name, 'package.json'), 'utf8')) as {
    version: string
  }
  return `| [${name}](../test/programs/${program}/index.ts) | ${version} | ${tries} | works |`
}
