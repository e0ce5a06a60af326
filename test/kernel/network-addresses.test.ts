// An address of the sandboxes' network that had another sandbox before: what the kernel still knows of that one opens no way.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type SpawnedProcess, spawn } from '../../runtime/host/spawn.ts'
import { INTERNET, type Internet, makeInternet } from '../support/internet.ts'
import { text } from '../support/streams.ts'
import { until } from '../support/until.ts'

const HOLDER = fileURLToPath(new URL('../fixtures/network-holder.ts', import.meta.url))
const shared = mkdtempSync(join(tmpdir(), 'thaw-addresses-'))
let internet: Internet
let holder: SpawnedProcess | null = null

beforeAll(async () => {
  internet = await makeInternet()
})
afterAll(async () => {
  holder?.kill('SIGKILL')
  await holder?.exited
  try {
    await internet?.close()
  } finally {
    rmSync(shared, { recursive: true, force: true })
  }
})

/** Resolves to the address, once it asked for `name` from there. */
async function hold(access: 'open' | 'closed', name: string): Promise<string> {
  // Its mounts are its own, as a platform's are: they end with it.
  const command = ['unshare', '--mount', '--propagation', 'slave', process.execPath, HOLDER, shared, access]
  const args = [`--net=${internet.namespace}`, ...command, INTERNET.names, name]
  const child = spawn('nsenter', args, { stdin: 'pipe' })
  holder = child
  let [said, complaint, ended] = ['', '', false]
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk
  })
  void text(child.stderr).then((all) => {
    complaint = all
  })
  void child.exited.then(() => {
    ended = true
  })
  await until(`it asked for ${name}`, () => said.endsWith('\n') || (ended ? complaint !== '' : 'not yet'), 30_000)
  if (said === '') throw new Error(complaint)
  return said.trim()
}

test('a connection that a killed platform’s sandbox began opens no way for the next sandbox with its address', async () => {
  const first = await hold('open', 'first.example.com')
  expect(internet.seen()).toContain('name first.example.com 1')
  holder?.kill('SIGKILL')
  await holder?.exited

  const second = await hold('closed', 'second.example.com')
  expect(second).toBe(first)
  expect(internet.seen()).toContain('name after.second.example.com 1')
  expect(internet.seen()).not.toContain('name second.example.com 1')
  holder?.stdin?.end()
  expect((await holder?.exited)?.code).toBe(0)
})
