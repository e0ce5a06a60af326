// Ten thousand malformed requests at a real platform: each is refused or cut as it should be, none lets another request be read
// out of its body, and afterwards the platform holds no more than before.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { faultIn, type MalformedRequest, malformedRequests } from '../support/malformed-requests.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { exchange } from '../support/raw-exchange.ts'
import { until } from '../support/until.ts'

const COUNT = 10_000
const WARM_UP = 2000
const AT_ONCE = 24
/** A good request behind each one, where the connection still takes one. */
const SENTINEL = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
const MIB = 1024 ** 2
/** The same requests each time, unless another seed is given. */
const seed = Number(process.env.THAW_TEST_SEED ?? 20_261_121)
let platform: Platform

beforeAll(async () => {
  platform = await startPlatform({ env: { FN_STEMS: '0' } })
  await platform.deploy(join(ROOT, 'functions', 'echo.ts'))
  await platform.deploy(join(ROOT, 'functions', 'hello.ts'), '--name', 'witness')
})
afterAll(() => platform.stop())

/** Sends them, so many at a time; returns what was wrong, by kind. */
async function send(requests: Iterator<MalformedRequest>): Promise<Map<string, string>> {
  const faults = new Map<string, string>()
  const work = async (): Promise<void> => {
    for (let next = requests.next(); !next.done; next = requests.next()) {
      const request = next.value
      const seen = await exchange(platform.port, request.bytes, request.end === 'cut', SENTINEL)
      const fault = faultIn(request, seen)
      if (fault !== null)
        faults.set(request.kind, `${fault}: ${JSON.stringify(request.bytes.toString('latin1', 0, 400))}`)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return faults
}

const openFiles = (): number => readdirSync(`/proc/${platform.pid}/fd`).length
const residentBytes = (): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${platform.pid}/status`, 'utf8'))![1]) * 1024
const sandboxes = async (): Promise<number> => (await platform.json<unknown[]>('/v1/sandboxes')).length

test(`${COUNT} malformed requests (THAW_TEST_SEED=${seed}) crash nothing, smuggle nothing and leave nothing`, async () => {
  expect(Object.fromEntries(await send(malformedRequests(seed + 1, WARM_UP)))).toEqual({})
  await (await platform.request('/fn/witness')).text()
  await until('connections are gone', () => openFiles() < 200 || `${openFiles()} files`)
  const before = { files: openFiles(), bytes: residentBytes(), sandboxes: await sandboxes() }

  expect(Object.fromEntries(await send(malformedRequests(seed, COUNT)))).toEqual({})

  const calls = await platform.json<{ id: string }[]>('/v1/invocations?function=witness')
  expect(calls).toHaveLength(1)
  await until('files are as before', () => openFiles() <= before.files + 5 || `${openFiles()}, before ${before.files}`)
  // Node's heap grows to its size in the first minute, and 10,000 records are kept; 20 KB left of each request would be more.
  expect(residentBytes() - before.bytes).toBeLessThan(192 * MIB)
  expect(await sandboxes()).toBeLessThanOrEqual(before.sandboxes + 2)
  expect(platform.output()).not.toMatch(/"level":(50|60)/)
  expect((await platform.request('/fn/echo/after')).status).toBe(200)
})
