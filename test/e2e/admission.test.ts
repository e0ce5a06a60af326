// Who is let in when there is no room, and who makes room: the queue's bounds of a function and of the host, callers that leave
// it, its age, and the sandbox that goes when memory is short. By counts and codes, never by time.
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { SandboxInfo } from '../../worker/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

const PROBE = join(ROOT, 'test', 'fixtures', 'functions', 'probe.ts')
const OF_FUNCTION = 50
const OF_HOST = 60
const HOLD_MS = 60_000
let platform: Platform
beforeAll(async () => {
  const env = { FN_STEMS: '0', FN_SANDBOX_MEMORY: '300m', FN_QUEUE_WAIT: '6s' }
  const bounds = { FN_QUEUE_CALLS: String(OF_FUNCTION), FN_QUEUE_HOST_CALLS: String(OF_HOST) }
  platform = await startPlatform({ env: { ...env, ...bounds } })
  const flags = ['--concurrency', '1', '--timeout', '60s', '--freeze-grace', '10m']
  await Promise.all(['often', 'once', 'third'].map((name) => platform.deploy(PROBE, '--name', name, ...flags)))
})
afterAll(() => platform.stop())

const leaving = new Set<AbortController>()
afterEach(async () => {
  for (const controller of leaving) controller.abort()
  leaving.clear()
  for (const row of await live()) await platform.request(`/v1/sandboxes/${row.id}/kill`, { method: 'POST' })
  await until('no sandbox is left', async () => (await live()).length === 0)
})

const live = async (): Promise<SandboxInfo[]> =>
  (await platform.json<SandboxInfo[]>('/v1/sandboxes')).filter((row) => row.state !== 'gone')
const namesOfLive = async (): Promise<string[]> => (await live()).map((row) => row.function).sort()

async function gauge(name: string): Promise<number> {
  const metrics = await (await platform.request('/metrics')).text()
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(metrics)?.[1])
}
const waiting = () => gauge('thaw_invocations_waiting')

/** A call whose caller can leave. */
function call(path: string): { readonly answer: Promise<Response | null>; leave(): void } {
  const controller = new AbortController()
  leaving.add(controller)
  const answer = platform.request(path, { signal: controller.signal }).catch(() => null)
  return { answer, leave: () => controller.abort() }
}

/** One call of the function runs for long, and so many wait behind it. */
async function hold(name: string, behind: number) {
  const running = call(`/fn/${name}/sleep/${HOLD_MS}`)
  await until(`${name} runs`, async () => (await live()).some((row) => row.function === name && row.state === 'busy'))
  const before = await waiting()
  const calls = Array.from({ length: behind }, () => call(`/fn/${name}/status/200`))
  await until(`${behind} wait`, async () => {
    const now = await waiting()
    return now === before + behind || `${now} wait, ${before} did before`
  })
  return { running, calls }
}

async function refused(path: string): Promise<{ status: number; code: string; component: string; seconds: number }> {
  const response = await platform.request(path)
  const { code, component } = (await response.json()) as { code: string; component: string }
  return { status: response.status, code, component, seconds: Number(response.headers.get('retry-after')) }
}

test('beyond a function’s bound a call is told 429, beyond the host’s 503, each with a time to come back', async () => {
  const { calls } = await hold('often', OF_FUNCTION)
  const own = await refused('/fn/often/status/200')
  expect(own).toMatchObject({ status: 429, code: 'FUNCTION_BUSY', component: 'queue' })
  await hold('once', OF_HOST - OF_FUNCTION)
  const ofHost = await refused('/fn/third/status/200')
  expect(ofHost).toMatchObject({ status: 503, code: 'HOST_FULL', component: 'worker' })
  for (const { seconds } of [own, ofHost]) {
    expect(Number.isInteger(seconds)).toBe(true)
    expect(seconds).toBeGreaterThanOrEqual(1)
    expect(seconds).toBeLessThanOrEqual(60)
  }
  // A place that is left is another's at once.
  calls[0]!.leave()
  await until('one left', async () => (await waiting()) === OF_HOST - 1)
  call('/fn/often/status/200')
  await until('another took its place', async () => (await waiting()) === OF_HOST)
})

test('callers that leave are out of the queue at once, and no sandbox was started for them', async () => {
  const { calls } = await hold('often', OF_FUNCTION)
  for (const one of calls) one.leave()
  await until('the queue is empty', async () => (await waiting()) === 0)
  expect(await namesOfLive()).toEqual(['often'])
  const records = await platform.json<{ status: number; start: string | null }[]>(
    `/v1/invocations?function=often&limit=${OF_FUNCTION}`,
  )
  expect(records.map(({ status, start }) => `${status} ${start}`)).toEqual(calls.map(() => '499 null'))
})

test('a call that found no sandbox for as long as it may wait is refused', async () => {
  await hold('often', 0)
  expect(await refused('/fn/often/status/200')).toMatchObject({ status: 429, code: 'FUNCTION_BUSY' })
  expect(await waiting()).toBe(0)
})

test('where memory is short, the sandbox used least makes room, and none that runs', async () => {
  const start = async (name: string) => (await platform.request(`/fn/${name}/status/200`)).headers.get('fn-start')
  for (let n = 0; n < 10; n++) await start('often')
  expect(await start('once')).toBe('cold')
  expect(await namesOfLive()).toEqual(['often', 'once'])
  expect(await start('third')).toBe('cold')
  expect(await namesOfLive()).toEqual(['often', 'third'])
  expect(await start('often')).toBe('warm')
  const running = call(`/fn/third/sleep/${HOLD_MS}`)
  await until('it runs', async () => (await live()).some((row) => row.function === 'third' && row.state === 'busy'))
  expect(await start('once')).toBe('cold')
  expect(await namesOfLive()).toEqual(['once', 'third'])
  running.leave()
})
