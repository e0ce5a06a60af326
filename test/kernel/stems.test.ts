// Stems and code caches on real sandboxes: limits, uid range and process of a sandbox that became of a stem; a cache that is
// made inside, kept for its version alone, and harmless when it is garbage.
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { FunctionVersion, SandboxInfo, Worker } from '../../worker/api.ts'
import { CodeCaches } from '../../worker/code-caches.ts'
import { createWorker } from '../../worker/worker.ts'
import { limitsWith } from '../support/fake-runtime.ts'
import { startTestRuntime, type TestRuntime } from '../support/kernel-runtime.ts'
import { realClock, silentLogger } from '../support/real-clock.ts'
import { requestOf, sampleConfig } from '../support/samples.ts'
import { SeenCall } from '../support/test-worker.ts'
import { until } from '../support/until.ts'

const MIB = 1024 ** 2
let platform: TestRuntime
let worker: Worker
let calls = 0

beforeAll(async () => {
  platform = await startTestRuntime()
  worker = startWorker()
})
afterAll(async () => {
  await worker.close()
  await platform.close()
})

function startWorker(): Worker {
  const { runtime, stateDir } = platform
  const parts = { runtime, stateDir, clock: realClock, logger: silentLogger, tracing: null }
  return createWorker({ ...parts, memoryBytes: 1024 * MIB, stems: 1 })
}

/** A version whose bundle is `source`, CommonJS. */
async function versionOf(name: string, source: string, number = 1): Promise<FunctionVersion> {
  const config = sampleConfig(name, { freezeGraceMs: 50, limits: limitsWith({ cpuShares: 300, pids: 40 }) })
  const parts = { source: Buffer.from(source), sourceMap: null, addonTar: null, config }
  const { digest } = await platform.runtime.images.put(parts)
  return { namespace: 'default', name, version: number, image: digest, config, createdAt: '2026-01-01T00:00:00.000Z' }
}

async function call(version: FunctionVersion): Promise<SeenCall> {
  const seen = new SeenCall()
  const id = `018f0000-0000-7000-a000-${String(++calls).padStart(12, '0')}`
  const request = requestOf(version, { id, headers: ['host', 'localhost'], acceptedAtMs: Date.now() })
  seen.invocation = worker.invoke(request, seen)
  await seen.invocation.done
  return seen
}

const stems = (): SandboxInfo[] => worker.sandboxes(null).filter(({ state }) => state === 'stem')
const haveStem = () => until('there is a stem', () => stems().length > 0)
const sandboxOf = (version: FunctionVersion) => worker.sandboxes(null).find((one) => one.function === version.name)
const caches = () => {
  const folder = join(platform.stateDir, 'code-cache')
  return existsSync(folder) ? readdirSync(folder).filter((name) => !name.endsWith('.tmp')) : []
}
const hostUid = (pid: number) => Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])

async function forget(version: FunctionVersion): Promise<void> {
  const id = sandboxOf(version)?.id
  if (id !== undefined) await worker.act(id, 'kill')
  await until('its sandbox is gone', () => sandboxOf(version) === undefined)
}

/** Some 60 kB of functions that are called, and as much that is not. */
const BIG = `${Array.from({ length: 1200 }, (_, i) => `function f${i}(x) { return x + ${i} + [x].map((y) => y * ${i}).length }`).join('\n')}
let sum = 0
module.exports = { default: () => { ${Array.from({ length: 600 }, (_, i) => `sum += f${i}(1)`).join(';')}; return new Response(String(sum)) } }`

test('a sandbox that became of a stem is the same process in its own uid range, under its function’s limits', async () => {
  const one = await versionOf('one', `module.exports = { default: () => new Response(String(process.getuid())) }`)
  const two = await versionOf('two', `module.exports = { default: () => new Response('two') }`)
  await haveStem()
  const [stem] = stems()
  expect(stem!.cpuUs).toBeGreaterThan(0)
  const seen = await call(one)
  expect([seen.start, seen.body]).toEqual(['stem', '1000'])
  expect(sandboxOf(one)).toMatchObject({ id: stem!.id, pid: stem!.pid })
  await haveStem()
  expect((await call(two)).start).toBe('stem')
  const [uidOne, uidTwo] = [hostUid(sandboxOf(one)!.pid), hostUid(sandboxOf(two)!.pid)]
  expect(Math.abs(uidOne - uidTwo)).toBeGreaterThanOrEqual(65_536)
})

test('a code cache is taken after the first call, serves later sandboxes of its version, and goes with it', async () => {
  const version = await versionOf('big', BIG)
  const twin = await versionOf('twin', BIG)
  const first = await call(version)
  await until('the cache is kept', () => caches().length === 1)
  expect(caches()[0]).toMatch(/^default\.big\.1\./)
  await forget(version)
  expect((await call(version)).body).toBe(first.body)
  // The same bundle of another function has its own.
  expect((await call(twin)).body).toBe(first.body)
  await until('the twin’s cache is kept', () => caches().length === 2)
  await worker.retire(({ name }) => (name === 'big' ? 'gone' : 'kept'))
  await until('the cache is gone', () => caches().length === 1)
  expect(caches()[0]).toMatch(/^default\.twin\./)
})

test('a cache that is garbage costs the version nothing but the compilation', async () => {
  const version = await versionOf('poisoned', BIG, 7)
  const { nodeVersion, arch } = platform.runtime.host
  const directory = join(platform.stateDir, 'code-cache')
  const forged = new CodeCaches({ directory, engine: `${nodeVersion} ${arch}`, logger: silentLogger })
  forged.put(version, randomBytes(100_000))
  await forged.close()
  expect(await forged.get(version)).toHaveLength(100_000)
  const seen = await call(version)
  expect([seen.status, Number(seen.body) > 0]).toEqual([200, true])
})
