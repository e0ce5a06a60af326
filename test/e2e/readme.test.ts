// The README's tour, word for word: its command blocks run in a shell, one after another, against a platform.
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PLAIN_PATH, run } from '../../runtime/host/spawn.ts'
import { tourOf } from '../support/document.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'

const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
let platform: Platform
let folder: string
beforeAll(async () => {
  platform = await startPlatform()
  folder = mkdtempSync(join(tmpdir(), 'thaw-tour-'))
  for (const name of ['bin', 'functions']) symlinkSync(join(ROOT, name), join(folder, name))
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await platform.stop()
})

async function shell(script: string): Promise<string> {
  const env = { PATH: PLAIN_PATH, HOME: folder, FN_URL: platform.url, FN_TOKEN: platform.token }
  const result = await run('sh', ['-ec', script.replaceAll('127.0.0.1:8080', `127.0.0.1:${platform.port}`)], {
    cwd: folder,
    env,
  })
  expect(result.code, `${script}\n${result.stderr}`).toBe(0)
  return result.stdout + result.stderr
}

test('every command of the tour works and prints what the tour shows', async () => {
  const blocks = tourOf(ROOT)
  expect(blocks.length).toBe(4)
  const [deployed, called, limited, later] = await blocks.reduce<Promise<string[]>>(
    async (before, block) => [...(await before), await shell(block)],
    Promise.resolve([]),
  )
  expect(deployed).toContain('version  1 of greet is latest')
  expect(called).toMatch(/^HTTP\/1\.1 200 OK/)
  expect(called).toContain('{"greeting":"Hello, Ada!"}')
  expect(called).toContain('Server-Timing: queue;dur=')
  expect(limited).toContain('{"greeting":"Hello, Ada!"}')
  expect(limited).toMatch(/memory +peak .* of 64/)
  expect(later).toContain('greeting Ada')
})

test('every example the tour names deploys', async () => {
  const named = [
    ...new Set([...README.matchAll(/`(?:bin\/fn deploy )?(functions\/[a-z0-9.]+)`/g)].map((match) => match[1] ?? '')),
  ]
  expect(named.length).toBeGreaterThanOrEqual(10)
  for (const path of named) await platform.deploy(path)
})
