// The freezer as a caller and an operator see it: idle sandboxes use no CPU, the next call thaws them, reuse is last in first
// out, and a function nobody calls goes away.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SandboxInfo } from '../../worker/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

const STREAM_CALLS = 40
const STREAM_GAP_MS = 80
const STREAM_LEARNED = 5
let platform: Platform
const PROBE = join(ROOT, 'test', 'fixtures', 'functions', 'probe.ts')
beforeAll(async () => {
  platform = await startPlatform()
  await platform.deploy(PROBE)
})
afterAll(() => platform.stop())

const rows = async (name: string): Promise<SandboxInfo[]> =>
  (await platform.json<SandboxInfo[]>('/v1/sandboxes')).filter((row) => row.function === name)
const call = async (path: string): Promise<Response> => {
  const response = await platform.request(path)
  await response.arrayBuffer()
  return response
}
const allIn = (name: string, state: string) => async (): Promise<boolean | string> => {
  const states = (await rows(name)).map((row) => row.state)
  return states.every((seen) => seen === state) || states.join(' ')
}

/** CPU ticks of a process by the kernel's own account (proc(5), stat fields 14 and 15). */
function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return Number(fields[11]) + Number(fields[12])
}

test('an idle sandbox is frozen: its CPU counter stands still although its timers are due', async () => {
  await platform.deploy(join(ROOT, 'test', 'fixtures', 'functions', 'ticker.ts'))
  await call('/fn/ticker')
  await until('it is frozen', allIn('ticker', 'frozen'))
  const [row] = await rows('ticker')
  const before = { cpuUs: row!.cpuUs, ticks: ticksOf(row!.pid) }
  const until5 = performance.now() + 1500
  await until('a second and a half went by', () => performance.now() > until5)
  const [after] = await rows('ticker')
  expect(after!.cpuUs).toBe(before.cpuUs)
  expect(ticksOf(row!.pid)).toBe(before.ticks)
  const response = await call('/fn/ticker')
  expect(response.headers.get('fn-start')).toBe('thawed')
  expect((await rows('ticker'))[0]!.pid).toBe(row!.pid)
})

test('the call after a freeze says thawed, the one right after it warm, the first cold or stem', async () => {
  await platform.deploy(PROBE, '--name', 'kinds', '--freeze-grace', '100ms')
  await until('the verified sandbox is frozen', allIn('kinds', 'frozen'))
  await platform.fn('restart', (await rows('kinds'))[0]?.id ?? '')
  expect((await call('/fn/kinds/status/200')).headers.get('fn-start')).toMatch(/^(cold|stem|thawed|warm)$/)
  expect((await call('/fn/kinds/status/200')).headers.get('fn-start')).toBe('warm')
  await until('it is frozen', allIn('kinds', 'frozen'))
  expect((await call('/fn/kinds/status/200')).headers.get('fn-start')).toBe('thawed')
})

test('a steady stream never meets the freezer, and when it ends the sandbox is frozen', async () => {
  await platform.deploy(PROBE, '--name', 'stream')
  await call('/fn/stream/status/200')
  let thawed = 0
  let answeredMs = performance.now()
  for (let n = 0; n < STREAM_CALLS; n++) {
    await delay(STREAM_GAP_MS)
    const gapMs = performance.now() - answeredMs
    const kind = (await call('/fn/stream/status/200')).headers.get('fn-start')
    answeredMs = performance.now()
    // Where this process itself was held up there was a pause in the stream.
    if (n >= STREAM_LEARNED && gapMs < 2 * STREAM_GAP_MS && kind === 'thawed') thawed++
  }
  // Without learning, or with a short fixed grace, every one of them would be.
  expect(thawed).toBeLessThanOrEqual(2)
  await until('it is frozen', allIn('stream', 'frozen'))
})

test('reuse is last in, first out: calls one after another stay in one sandbox', async () => {
  await Promise.all([call('/fn/probe/sleep/150'), call('/fn/probe/sleep/150')])
  await until('none runs', async () => (await rows('probe')).every((row) => row.state !== 'busy'))
  const before = new Map((await rows('probe')).map((row) => [row.id, row.calls]))
  for (let i = 0; i < 10; i++) await call('/fn/probe/status/200')
  const grown = (await rows('probe')).filter((row) => row.calls > (before.get(row.id) ?? 0))
  expect(grown).toHaveLength(1)
})

test('a function nobody calls goes away after its keep-alive, and comes back with the next call', async () => {
  await platform.deploy(PROBE, '--name', 'brief', '--keep-alive', '500ms')
  await call('/fn/brief/status/200')
  await until('it has no sandbox', async () => (await rows('brief')).length === 0)
  expect((await call('/fn/brief/status/200')).headers.get('fn-start')).toMatch(/^(cold|stem)$/)
})

test('min-warm keeps sandboxes ready that nobody called yet', async () => {
  await platform.deploy(PROBE, '--name', 'ready', '--min-warm', '2', '--keep-alive', '300ms')
  await until('two are there', async () => (await rows('ready')).length === 2)
  expect((await call('/fn/ready/status/200')).headers.get('fn-start')).toMatch(/^(thawed|warm)$/)
})

test('an operator freezes, thaws, restarts and kills by hand, and is told what does not fit', async () => {
  await platform.deploy(PROBE, '--name', 'hand', '--freeze-grace', '1h')
  await call('/fn/hand/status/200')
  const [row] = await rows('hand')
  expect((await platform.fn('freeze', row!.id)).code).toBe(0)
  expect((await rows('hand'))[0]!.state).toBe('frozen')
  expect((await platform.fn('thaw', row!.id)).code).toBe(0)
  expect((await rows('hand'))[0]!.state).toBe('idle')
  const busy = platform.request('/fn/hand/sleep/1500')
  await until('it is busy', allIn('hand', 'busy'))
  const refused = await platform.fn('freeze', row!.id)
  expect(refused.code).toBe(1)
  expect(refused.stderr).toContain('busy')
  expect((await busy).status).toBe(200)
  expect((await platform.fn('kill', row!.id)).code).toBe(0)
  await until('it is gone', async () => (await rows('hand')).every((other) => other.id !== row!.id))
  const unknown = await platform.fn('kill', 'no-such-sandbox')
  expect(unknown.code).toBe(1)
  expect(unknown.stderr).toContain('no-such-sandbox')
})
