// The worker on real sandboxes: that freezing, limits, metering, faults and deaths reach the caller and the record as promised.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FunctionConfig, FunctionVersion, InvocationRequest, SandboxInfo, Worker } from '../../worker/api.ts'
import { createWorker } from '../../worker/worker.ts'
import { startTestRuntime, type TestRuntime } from '../support/kernel-runtime.ts'
import { realClock, silentLogger } from '../support/real-clock.ts'
import { requestOf, sampleConfig } from '../support/samples.ts'
import { SeenCall } from '../support/test-worker.ts'

const MIB = 1024 ** 2
let platform: TestRuntime
let worker: Worker
let calls = 0

beforeAll(async () => {
  platform = await startTestRuntime()
  worker = createWorker({
    runtime: platform.runtime,
    stateDir: platform.stateDir,
    clock: realClock,
    logger: silentLogger,
    tracing: null,
    memoryBytes: 1024 * MIB,
  })
})
afterAll(async () => {
  await worker.close()
  await platform.close()
})

/** A version whose handler is `source`, an expression. */
async function versionOf(
  name: string,
  source: string,
  changes: Partial<FunctionConfig> = {},
): Promise<FunctionVersion> {
  const config = sampleConfig(name, changes)
  const parts = {
    source: Buffer.from(`module.exports = { default: ${source} }`),
    sourceMap: null,
    addonTar: null,
    config,
  }
  const { digest } = await platform.runtime.images.put(parts)
  return { namespace: 'default', name, version: 1, image: digest, config, createdAt: '2026-01-01T00:00:00.000Z' }
}

async function call(version: FunctionVersion, changes: Partial<InvocationRequest> = {}) {
  const seen = begin(version, changes)
  const record = await seen.invocation.done
  return { seen, record }
}

function begin(version: FunctionVersion, changes: Partial<InvocationRequest> = {}): SeenCall {
  const seen = new SeenCall()
  const id = `018f0000-0000-7000-9000-${String(++calls).padStart(12, '0')}`
  const given = { id, headers: ['host', 'localhost'], acceptedAtMs: Date.now() }
  seen.invocation = worker.invoke(requestOf(version, { ...given, ...changes }), seen)
  return seen
}

function sandboxOf(version: FunctionVersion): SandboxInfo | undefined {
  return worker.sandboxes(null).find((sandbox) => sandbox.function === version.name)
}

/** Ticks of CPU the process has used, from the kernel. */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return Number(fields[11]) + Number(fields[12])
}

function isDead(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.startsWith('Z')
  } catch {
    return true
  }
}

describe('a sandbox of the pool', () => {
  test('serves a cold, a warm and a thawed call, and uses no CPU while it is frozen', async () => {
    const hello = await versionOf('hello', `() => new Response('hi')`)
    const cold = await call(hello)
    expect(cold.seen.body).toBe('hi')
    expect(cold.record).toMatchObject({ start: 'cold', state: 'succeeded' })
    expect(cold.record.startMs).toBeGreaterThan(0)
    expect(cold.record.initMs).toBeGreaterThan(0)
    expect((await call(hello)).record.start).toBe('warm')

    await expect.poll(() => sandboxOf(hello)?.state).toBe('frozen')
    const { pid, id } = sandboxOf(hello)!
    const ticks = cpuTicks(pid)
    const other = await versionOf('other', `() => new Response('ok')`)
    await call(other)
    expect(cpuTicks(pid)).toBe(ticks)

    const thawed = await call(hello)
    expect(thawed.record.start).toBe('thawed')
    expect(thawed.record.metering?.thawUs).toBeGreaterThan(0)
    expect(thawed.record.metering?.freezeUs).toBeGreaterThan(0)
    expect(sandboxOf(hello)?.id).toBe(id)
  })

  test('holds each call to its own limits and meters it alone', async () => {
    const eat = await versionOf(
      'eat',
      `(request) => { const mb = Number(request.url.split('=')[1]); const keep = [];
        for (let i = 0; i < mb; i++) keep.push(Buffer.alloc(${MIB}, 1)); return new Response(String(keep.length)) }`,
    )
    const small = await call(eat, { target: '/?mb=1', limits: { memory: 64 * MIB } })
    expect(small.record).toMatchObject({ state: 'succeeded', limits: { memory: 64 * MIB } })
    const large = await call(eat, { target: '/?mb=40' })
    expect(large.record).toMatchObject({ state: 'succeeded', limits: { memory: 128 * MIB } })
    const peak = (record: typeof small.record) => record.metering!.memoryPeakBytes
    expect(peak(large.record) - peak(small.record)).toBeGreaterThan(30 * MIB)
    const killed = await call(eat, { target: '/?mb=200', limits: { memory: 48 * MIB, memorySwap: 48 * MIB } })
    expect(killed.record).toMatchObject({ state: 'failed', status: 502, error: { code: 'FUNCTION_OUT_OF_MEMORY' } })
    expect((await call(eat, { target: '/?mb=1' })).record.state).toBe('succeeded')
  })

  test('is killed when its handler spins past the time-out; the next call works', async () => {
    const spin = await versionOf(
      'spin',
      `(request) => { while (request.url.endsWith('spin')); return new Response('ok') }`,
      {
        timeoutMs: 300,
      },
    )
    const { seen, record } = await call(spin, { target: '/spin' })
    expect(seen.failure?.code).toBe('FUNCTION_TIMEOUT')
    expect(record).toMatchObject({ state: 'timed-out', status: 504 })
    expect((await call(spin)).seen.body).toBe('ok')
  })

  test('whose process is killed while it is frozen costs the next caller nothing', async () => {
    const steady = await versionOf('steady', `() => new Response('ok')`)
    await call(steady)
    await expect.poll(() => sandboxOf(steady)?.state).toBe('frozen')
    const { pid } = sandboxOf(steady)!
    process.kill(pid, 'SIGKILL')
    // The call comes as soon as the process is dead, whether or not the platform has noticed.
    const deadlineMs = performance.now() + 2000
    while (!isDead(pid) && performance.now() < deadlineMs) await new Promise((resolve) => setImmediate(resolve))
    const next = await call(steady)
    expect(next.record).toMatchObject({ state: 'succeeded', error: null })
    expect(next.seen.body).toBe('ok')
  })

  test('whose process is killed in a call fails that call with the reason', async () => {
    const wait = await versionOf('wait', `() => { console.log('runs'); return new Promise(() => {}) }`)
    const seen = begin(wait)
    const query = { namespace: 'default', invocation: seen.invocation.id }
    await expect.poll(async () => (await worker.logs(query)).length).toBe(1)
    process.kill(sandboxOf(wait)!.pid, 'SIGKILL')
    const record = await seen.invocation.done
    expect(record).toMatchObject({ state: 'failed', status: 502, error: { code: 'FUNCTION_CRASHED' } })
    expect(record.error?.message).toContain('SIGKILL')
  })

  test('is not lost to a caller who leaves; the signal inside aborts', async () => {
    const leave = await versionOf(
      'leave',
      `(_, ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', () => { console.log('aborted'); resolve(new Response()) }))`,
    )
    const seen = begin(leave)
    await expect.poll(() => sandboxOf(leave)?.state).toBe('busy')
    seen.invocation.abort('client')
    const record = await seen.invocation.done
    expect(record).toMatchObject({ status: 499, error: { code: 'CLIENT_GONE' } })
    expect(sandboxOf(leave)?.state).toBe('idle')
    const lines = await worker.logs({ namespace: 'default', invocation: record.id })
    expect(lines.map((line) => line.line)).toContain('aborted')
  })

  test('finishes waitUntil work before it is frozen', async () => {
    const later = await versionOf(
      'later',
      `(_, ctx) => { ctx.waitUntil(new Promise((resolve) => setTimeout(() => { console.log('done'); resolve() }, 700))); return new Response('early') }`,
      { freezeGraceMs: 0 },
    )
    const { seen, record } = await call(later)
    expect(seen.body).toBe('early')
    const lines = await worker.logs({ namespace: 'default', invocation: record.id })
    expect(lines.map((line) => line.line)).toContain('done')
    expect(record.runMs).toBeLessThan(700)
    await expect.poll(() => sandboxOf(later)?.state).toBe('frozen')
  })

  test('that cannot load its code fails the call with the author’s stack, and nothing is left of it', async () => {
    const broken = await versionOf('broken', `(() => { throw new Error('at load') })()`)
    const { seen } = await call(broken)
    expect(seen.failure).toMatchObject({ code: 'FUNCTION_INIT_FAILED', message: 'at load' })
    expect(seen.failure?.stack).not.toContain('bootstrap.cjs')
    expect(sandboxOf(broken)).toBeUndefined()
  })
})
