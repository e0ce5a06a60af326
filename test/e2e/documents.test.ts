// What the README and the pages of docs/ say works: their samples are written to files, their commands run in a shell, page by
// page, as a reader would do it. What test/unit/documents.test.ts checks without a platform is not repeated here.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PLAIN_PATH, run } from '../../runtime/host/spawn.ts'
import { type Block, blocksOf, NOT_RUN, RUN_PAGES } from '../support/document.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'

let platform: Platform
let folder: string
beforeAll(async () => {
  platform = await startPlatform()
  folder = mkdtempSync(join(tmpdir(), 'thaw-documents-'))
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await platform.stop()
})

/** Functions that a page takes for granted. */
const GIVEN: Readonly<Record<string, readonly string[]>> = {
  'docs/durable.md': ['functions/hello.ts', '--name', 'report'],
}

/** A folder where the project's own paths are what the page says they are. */
function readersFolder(page: string): string {
  const place = join(folder, page.replaceAll('/', '-'))
  mkdirSync(place)
  for (const name of ['bin', 'functions']) symlinkSync(join(ROOT, name), join(place, name))
  return place
}

async function shell({ file, line, text }: Block, cwd: string): Promise<string> {
  const env = { PATH: `${ROOT}/bin:${PLAIN_PATH}`, HOME: folder, FN_URL: platform.url, FN_TOKEN: platform.token }
  const script = text.replaceAll('127.0.0.1:8080', `127.0.0.1:${platform.port}`)
  const result = await run('sh', ['-ec', script], { cwd, env })
  expect(result.code, `${file}:${line}\n${script}\n${result.stdout}\n${result.stderr}`).toBe(0)
  return result.stdout + result.stderr
}

/** Follows a page; resolves to what each of its command blocks printed. */
async function follow(page: string): Promise<string[]> {
  const given = GIVEN[page]
  if (given !== undefined) await platform.deploy(...given)
  const cwd = readersFolder(page)
  const printed: string[] = []
  for (const block of blocksOf(ROOT, page)) {
    if (NOT_RUN.some(({ file, text }) => file === page && block.text.includes(text))) continue
    if (block.fileName !== null) writeFileSync(join(cwd, block.fileName), block.text)
    if (block.language === 'sh') printed.push(await shell(block, cwd))
  }
  const names = blocksOf(ROOT, page).flatMap(({ fileName }) => /^([\w-]+)\.ts$/.exec(fileName ?? '')?.[1] ?? [])
  const deployed = await platform.json<{ name: string }[]>('/v1/functions?limit=1000')
  expect(deployed.map(({ name }) => name)).toEqual(expect.arrayContaining(names))
  return printed
}

test("every command of the README's tour works and prints what the tour shows", async () => {
  const [deployed, called, limited, later] = await follow('README.md')
  expect(deployed).toContain('version  1 of greet is latest')
  expect(called).toMatch(/^HTTP\/1\.1 200 OK/)
  expect(called).toContain('{"greeting":"Hello, Ada!"}')
  expect(called).toContain('Server-Timing: queue;dur=')
  expect(limited).toContain('{"greeting":"Hello, Ada!"}')
  expect(limited).toMatch(/memory +peak .* of 64/)
  expect(later).toContain('greeting Ada')
})

test.each(RUN_PAGES.filter((page) => page !== 'README.md'))('every command and sample of %s works', async (page) => {
  expect((await follow(page)).length).toBeGreaterThan(0)
})

test('every example the tour names deploys', async () => {
  const tour = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const named = [
    ...new Set([...tour.matchAll(/`(?:bin\/fn deploy )?(functions\/[a-z0-9.]+)`/g)].map((match) => match[1]!)),
  ]
  expect(named.length).toBeGreaterThanOrEqual(10)
  for (const path of named) await platform.deploy(path)
})
