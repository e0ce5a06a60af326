// A burst on a function nobody serves: every call is answered, sandboxes are not started one a caller, and a second
// function goes on being served as if it were alone. By counts, order and ratios in one run, never by time.
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SandboxInfo } from '../../worker/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

const FIXTURES = join(ROOT, 'test', 'fixtures', 'functions')
const CALLS = 100
const LEAVING = 30
const WATCH_MS = 25
const CORES = availableParallelism()
let platform: Platform
beforeAll(async () => {
  platform = await startPlatform()
  await platform.deploy(join(FIXTURES, 'work.ts'), '--freeze-grace', '10m')
  await platform.deploy(join(FIXTURES, 'work.ts'), '--name', 'neighbour', '--freeze-grace', '10m')
})
afterAll(() => platform.stop())

const rows = async (): Promise<SandboxInfo[]> => platform.json<SandboxInfo[]>('/v1/sandboxes')
const call = async (path: string): Promise<Response> => {
  const response = await platform.request(path)
  await response.arrayBuffer()
  return response
}

/** Sandboxes being made or loaded now, of any function, by the platform's own count. */
async function launches(): Promise<number> {
  const metrics = await (await platform.request('/metrics')).text()
  const counts = [...metrics.matchAll(/^thaw_sandboxes\{[^}]*state="(?:starting|loading)"[^}]*\} (\d+)/gm)]
  expect(counts).toHaveLength(2)
  return counts.reduce((sum, [, count]) => sum + Number(count), 0)
}

async function noneOf(name: string): Promise<void> {
  const mine = async () => (await rows()).filter((row) => row.function === name && row.state !== 'gone')
  for (const row of await mine()) await platform.request(`/v1/sandboxes/${row.id}/kill`, { method: 'POST' })
  await until(`no sandbox of ${name} is left`, async () => (await mine()).length === 0)
}

/** Median duration of the neighbour's calls, one after the other, for as long as `goesOn` says. */
async function neighbourWhile(goesOn: (served: number) => boolean): Promise<{ served: number; medianMs: number }> {
  const took: number[] = []
  while (goesOn(took.length)) {
    const begun = performance.now()
    expect((await call('/fn/neighbour?ms=0')).status).toBe(200)
    took.push(performance.now() - begun)
  }
  return { served: took.length, medianMs: took.sort((one, other) => one - other)[took.length >> 1]! }
}

test('a hundred calls at once to a cold function are all answered, by far fewer sandboxes, beside a second function', async () => {
  await noneOf('work')
  const quiet = await neighbourWhile((served) => served < CALLS)
  let open = true
  let mostSandboxes = 0
  let mostLaunches = 0
  const watch = (async () => {
    while (open) {
      mostLaunches = Math.max(mostLaunches, await launches())
      mostSandboxes = Math.max(mostSandboxes, (await rows()).filter((row) => row.function === 'work').length)
      await delay(WATCH_MS)
    }
  })()
  let answered = 0
  const burst = Promise.all(
    Array.from({ length: CALLS }, async () => {
      const response = await call('/fn/work?ms=20')
      answered++
      return response.status
    }),
  )
  // The neighbour's calls, one after the other, while the burst is worked off.
  const meanwhile = await neighbourWhile(() => answered < CALLS)
  expect(await burst).toEqual(Array.from({ length: CALLS }, () => 200))
  open = false
  await watch
  // Behind the burst it would have been served once or twice; beside it, as often as the burst's calls together.
  expect(meanwhile.served).toBeGreaterThanOrEqual(10)
  // What a tail is, bench/burst.ts tells.
  expect(meanwhile.medianMs / quiet.medianMs).toBeLessThanOrEqual(3)
  expect(mostSandboxes).toBeGreaterThan(0)
  // They only compute: a sandbox a core, and a few for what is not known before the first of them ends.
  expect(mostSandboxes).toBeLessThanOrEqual(3 * CORES)
  expect(mostLaunches).toBeLessThanOrEqual(CORES + 1)
})

test('callers that leave during a burst leave the queue, and cost no sandbox', async () => {
  await noneOf('work')
  const controller = new AbortController()
  const left = Array.from({ length: LEAVING }, () =>
    platform.request('/fn/work?ms=50', { signal: controller.signal }).then(
      (response) => response.arrayBuffer().catch(() => 'left'),
      () => 'left',
    ),
  )
  await until('the burst has begun', async () => (await rows()).some((row) => row.function === 'work'))
  controller.abort()
  await Promise.all(left)
  expect((await call('/fn/work?ms=1')).status).toBe(200)
  const alive = (await rows()).filter((row) => row.function === 'work' && row.state !== 'gone')
  expect(alive.length).toBeGreaterThan(0)
  expect(alive.length).toBeLessThan(LEAVING)
})
