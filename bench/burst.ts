// A burst on a function nobody serves: so many calls at once, each of them work for the CPU, while a second function is called at
// a steady rate. Tells how the burst was worked off, how many sandboxes it took, and what the second function felt of it.
import { setTimeout as delay } from 'node:timers/promises'
import type { SandboxInfo } from '../worker/api.ts'
import { openClient } from './clients.ts'
import { type Latency, latencyOf } from './latency.ts'
import { get } from './rounds.ts'
import { killAll, settled } from './starts.ts'
import { runLoad, type Subjects } from './subjects.ts'

export interface Burst {
  readonly calls: number
  /** Calls not answered 200. */
  readonly failed: number
  /** When each call of the last burst was answered, ms since its start, ascending. */
  readonly answeredMs: readonly number[]
  /** What was seen of the function's sandboxes during the last burst. */
  readonly sandboxes: readonly { readonly atMs: number; readonly starting: number; readonly live: number }[]
  /** The most sandboxes of the function, and the most launches at once of the platform, over all bursts. */
  readonly mostSandboxes: number
  readonly mostLaunches: number
  /** The second function without and with the bursts. */
  readonly quiet: Latency
  readonly during: Latency
  /** Its calls around the last burst: due at, took; ms since that burst's start. */
  readonly neighbour: readonly (readonly [atMs: number, tookMs: number])[]
}

export interface BurstOptions {
  readonly bursts: number
  readonly calls: number
}

const WORK_MS = 10
const NEIGHBOUR_RATE = 200
const NEIGHBOUR_CONNECTIONS = 16
const QUIET_MS = 8000
const POLL_MS = 20
/** The generator starts, and a second of calls before the burst; the calls end long after it. */
const BEFORE_MS = 1200
const AROUND_MS = 3500
const WARM_UP_MS = 200

type Seen = Burst['sandboxes'][number] & { readonly launches: number }

export async function runBursts(subjects: Subjects, options: BurstOptions): Promise<Burst> {
  const { platform } = subjects
  const quiet = await steadyCalls(subjects, QUIET_MS)
  const during: number[] = []
  let failed = 0
  let last: OneBurst | null = null
  let mostSandboxes = 0
  let mostLaunches = 0
  for (let n = 0; n < options.bursts; n++) {
    await killAll(platform, 'busy')
    await settled(platform)
    const neighbour = steadyCalls(subjects, AROUND_MS)
    await delay(BEFORE_MS)
    const burst = await oneBurst(subjects, options.calls)
    const steady = await neighbour
    const { startMs, endMs, ...seen } = burst
    during.push(...steady.filter(([due]) => due >= startMs && due <= endMs).map(([, took]) => took))
    failed += seen.failed
    mostSandboxes = Math.max(mostSandboxes, ...seen.sandboxes.map((row) => row.starting + row.live))
    mostLaunches = Math.max(mostLaunches, ...seen.sandboxes.map((row) => row.launches))
    last = { ...burst, neighbour: steady.map(([due, took]) => [due - startMs, took] as const) }
  }
  return {
    calls: options.calls,
    failed,
    answeredMs: last!.answeredMs,
    sandboxes: last!.sandboxes.map(({ atMs, starting, live }) => ({ atMs, starting, live })),
    mostSandboxes,
    mostLaunches,
    quiet: latencyOf(quiet.map(([, took]) => took)),
    during: latencyOf(during),
    neighbour: last!.neighbour.map(([at, took]) => [round(at), round(took)] as const),
  }
}

interface OneBurst {
  readonly startMs: number
  readonly endMs: number
  readonly failed: number
  readonly answeredMs: readonly number[]
  readonly sandboxes: readonly Seen[]
  readonly neighbour: Burst['neighbour']
}

/** All calls at once, on connections that are open already. */
async function oneBurst(subjects: Subjects, calls: number): Promise<OneBurst> {
  const target = get(subjects.thaw.port, `/fn/busy?ms=${WORK_MS}`)
  const clients = await Promise.all(Array.from({ length: calls }, () => openClient('lean', target)))
  const answeredMs: number[] = []
  let failed = 0
  const startMs = performance.now()
  const watched = watch(subjects, startMs, () => answeredMs.length + failed < calls)
  await Promise.all(
    clients.map(async (client, n) => {
      const answer = await client.exchange(n).catch(() => null)
      if (answer?.status === 200) answeredMs.push(round(performance.now() - startMs))
      else failed++
      client.close()
    }),
  )
  const endMs = performance.now()
  return { startMs, endMs, failed, answeredMs, sandboxes: await watched, neighbour: [] }
}

async function watch({ platform }: Subjects, startMs: number, goesOn: () => boolean): Promise<Seen[]> {
  const seen: Seen[] = []
  while (goesOn()) {
    const rows = await platform.json<SandboxInfo[]>('/v1/sandboxes')
    const begun = (row: SandboxInfo) => row.state === 'starting' || row.state === 'loading'
    const mine = rows.filter((row) => row.function === 'busy' && row.state !== 'gone')
    const starting = mine.filter(begun).length
    const launches = rows.filter((row) => row.state === 'starting').length
    seen.push({ atMs: round(performance.now() - startMs), starting, live: mine.length - starting, launches })
    await delay(POLL_MS)
  }
  return seen
}

/** Calls the second function at its rate, from a process of its own: how long the burst takes to be sent is not its matter. */
async function steadyCalls(
  { thaw }: Subjects,
  durationMs: number,
): Promise<readonly (readonly [dueMs: number, tookMs: number])[]> {
  const { timeline } = await runLoad({
    ...{ mode: 'open', timeline: true, target: get(thaw.port, '/fn/hello') },
    ...{ ratePerS: NEIGHBOUR_RATE, connections: NEIGHBOUR_CONNECTIONS, durationMs, warmUpMs: WARM_UP_MS },
  })
  return timeline.map(([due, took]) => [due - performance.timeOrigin, took] as const)
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100
}
