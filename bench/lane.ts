// The durable lane as its callers see it: how fast calls are acknowledged, each on disk before its 202, beside BullMQ alone on the
// same Redis; how soon and how fast they run; what synchronous calls feel of it. Owns a platform of its own.
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { run } from '../runtime/host/spawn.ts'
import { type Platform, ROOT, startPlatform } from '../test/support/platform.ts'
import { until } from '../test/support/until.ts'
import type { BareQueue } from './bare-queue.ts'
import { type CpuMeter, platformMeter } from './cpu.ts'
import { type LaneCost, measureLane } from './lane-growth.ts'
import { type Curve, type Latency, latencyOf, median } from './latency.ts'
import type { Target } from './load.ts'
import { get } from './rounds.ts'
import { type CpuPerCall, runLoad, runMetered, type Subject, startOneServer } from './subjects.ts'

/** `add`: BullMQ's `add` in a loop. `http`: the same behind a bare node:http server. `thaw`: calls accepted, their function paused,
 *  so that it does no more than the other two. `open`: calls accepted while they run, too. */
export type Acceptor = 'add' | 'http' | 'thaw' | 'open'
export type Sync = 'always' | 'everysec'

export interface Acceptance {
  readonly by: Acceptor
  readonly sync: Sync
  readonly clients: number
  /** Acknowledged a second: the median of rounds; the rest is of the round with that rate. */
  readonly rate: number
  readonly latency: Latency
  readonly curve: Curve
  readonly cpuUs: CpuPerCall
}

export interface Lane {
  /** A call of `hello` as it lies in the queue; the payload of the yardsticks. */
  readonly payloadBytes: number
  readonly accepted: readonly Acceptance[]
  /** From sending a call to the start of its handler, one call at a time. */
  readonly start: Latency
  /** Calls run to their end a second, a backlog of so many waiting at the start. */
  readonly backlog: { readonly calls: number; readonly ranPerS: number }
  readonly growth: readonly LaneCost[]
  /** Synchronous calls, one at a time: in quiet, and while so many asynchronous ones a second are accepted and run. */
  readonly quiet: Latency
  readonly beside: Latency
}

export interface LaneExtent {
  readonly laneMs: number
  readonly laneRounds: number
  readonly laneStarts: number
  readonly laneCalls: number
}

export const JOBS_PER_S = 1_000
const QUEUES = [1, 10, 100, 1_000]
const CLIENTS = 16
const GAP_MS = 5
const DRAIN_DEADLINE_MS = 180_000
const FUNCTIONS = ['functions/hello.ts', 'functions/echo.ts', 'bench/functions/clock.ts']

export async function runLane(extent: LaneExtent, say: (line: string) => void): Promise<Lane> {
  const platform = await startPlatform()
  let http: { readonly subject: Subject; stop(): Promise<void> } | null = null
  try {
    for (const path of FUNCTIONS) await platform.deploy(path)
    const socketPath = join('/run/thaw', platform.id, 'redis.sock')
    await pause(platform, true)
    const payloadBytes = await payloadOf(platform, socketPath)
    http = await startOneServer('bullmq.ts', [socketPath, `${payloadBytes}`])
    const place = { platform, socketPath, payloadBytes, http: http.subject, meter: platformMeter(platform) }
    say('  acceptance, 16 clients')
    const always = await acceptance(place, { sync: 'always', clients: CLIENTS, ...extent })
    const backlog = await drain(platform)
    const open = await acceptanceBy('open', place, CLIENTS, extent.laneMs)
    await drain(platform)
    say('  acceptance, 1 client')
    await pause(platform, true)
    const single = await acceptance(place, { sync: 'always', clients: 1, ...extent })
    say('  acceptance, appendfsync everysec')
    await setSync(socketPath, 'everysec')
    const everysec = await acceptance(place, { sync: 'everysec', clients: CLIENTS, ...extent })
    await setSync(socketPath, 'always')
    await drain(platform)
    say('  start, neighbours, queues')
    const start = await startTimes(platform, extent.laneStarts)
    const { quiet, beside } = await besideJobs(platform, extent.laneMs)
    await http.stop()
    http = null
    await platform.stop()
    const growth: LaneCost[] = []
    for (const queues of QUEUES) growth.push(await measureLane(queues, extent.laneCalls))
    const accepted = [
      ...always,
      { by: 'open', sync: 'always', clients: CLIENTS, ...open } as const,
      ...single,
      ...everysec,
    ]
    return { payloadBytes, accepted, start, backlog, growth, quiet, beside }
  } finally {
    // ORDER: it takes its jobs away first, for which it needs the platform's Redis.
    await http?.stop()
    await platform.stop()
  }
}

interface Place {
  readonly platform: Platform
  readonly socketPath: string
  readonly payloadBytes: number
  readonly http: Subject
  readonly meter: CpuMeter
}
type Taken = Pick<Acceptance, 'rate' | 'latency' | 'curve' | 'cpuUs'>

/** The three subjects in turn, round by round; a first round of each counts for nothing, for what runs the first time is slow. */
async function acceptance(
  place: Place,
  { sync, clients, laneMs, laneRounds }: LaneExtent & { readonly sync: Sync; readonly clients: number },
): Promise<Acceptance[]> {
  const subjects = ['add', 'http', 'thaw'] as const
  const taken = new Map<Acceptor, Taken[]>(subjects.map((by) => [by, []]))
  for (let round = 0; round <= laneRounds; round++) {
    for (const by of subjects) {
      const one = await acceptanceBy(by, place, clients, round === 0 ? laneMs / 2 : laneMs)
      if (round > 0) taken.get(by)!.push(one)
    }
  }
  return subjects.map((by) => ({ by, sync, clients, ...middle(taken.get(by)!) }))
}

async function acceptanceBy(by: Acceptor, place: Place, connections: number, durationMs: number): Promise<Taken> {
  if (by === 'add') return await bareQueue(place, connections, durationMs)
  const path = by === 'http' ? get(place.http.port, '/') : get(place.platform.port, '/fn/hello')
  const target: Target = { ...path, headers: [{ prefer: 'respond-async' }], expectStatus: 202 }
  const load = { mode: 'closed', client: 'lean', target, connections, durationMs, warmUpMs: 300 } as const
  const { rate, latencies, curves, cpuUs } = await runMetered(load, by === 'http' ? place.http.meter : place.meter)
  return { rate, latency: latencies[0]!, curve: curves[0]!, cpuUs }
}

async function bareQueue({ socketPath, payloadBytes }: Place, clients: number, durationMs: number): Promise<Taken> {
  const args = [socketPath, `${durationMs}`, `${clients}`, `${payloadBytes}`]
  const result = await run(process.execPath, [join(ROOT, 'bench', 'bare-queue.ts'), ...args])
  if (result.code !== 0) throw new Error(`bench/bare-queue.ts failed: ${result.stderr}`)
  const { cpuUs, ...taken } = JSON.parse(result.stdout) as BareQueue
  return { ...taken, cpuUs: { generator: Math.round(cpuUs * 10) / 10 } }
}

/** The round with the middle rate. */
function middle(rounds: readonly Taken[]): Taken {
  const rate = median(rounds.map((one) => one.rate)) ?? 0
  const distance = (one: Taken) => Math.abs(one.rate - rate)
  return { ...rounds.reduce((best, one) => (distance(one) < distance(best) ? one : best)), rate }
}

/** Bytes of one call in its queue. */
async function payloadOf(platform: Platform, socketPath: string): Promise<number> {
  const response = await platform.request('/fn/hello', { headers: { prefer: 'respond-async' } })
  const { id } = (await response.json()) as { id: string }
  const length = await redis(socketPath, 'hstrlen', `{thaw}:queue:default:hello:${id}`, 'data')
  if (!(Number(length) > 0)) throw new Error(`the call ${id} is not in its queue: ${length}`)
  return Number(length)
}

async function redis(socketPath: string, ...command: string[]): Promise<string> {
  const { code, stdout, stderr } = await run('redis-cli', ['-s', socketPath, ...command])
  if (code !== 0) throw new Error(`redis-cli ${command.join(' ')}: ${stderr}`)
  return stdout.trim()
}

async function setSync(socketPath: string, sync: Sync): Promise<void> {
  await redis(socketPath, 'config', 'set', 'appendfsync', sync)
}

async function pause(platform: Platform, paused: boolean): Promise<void> {
  await platform.json('/v1/functions/hello/state', { method: 'PUT', body: JSON.stringify({ paused }) })
}

/** Lets what waits run; resolves when all has. */
async function drain(platform: Platform): Promise<Lane['backlog']> {
  const waiting = async () => {
    const { queue } = await platform.json<{ queue: { waiting: number; active: number } }>('/v1/functions/hello')
    return queue.waiting + queue.active
  }
  const calls = await waiting()
  const from = performance.now()
  await pause(platform, false)
  await until('the backlog has been run', async () => (await waiting()) === 0, DRAIN_DEADLINE_MS)
  return { calls, ranPerS: (calls * 1_000) / (performance.now() - from) }
}

/** The handler says when it began, by a clock with fractions of a millisecond; a record's times are whole ones. */
async function startTimes(platform: Platform, calls: number): Promise<Latency> {
  const samples: number[] = []
  for (let n = 0; n < calls; n++) {
    await delay(GAP_MS)
    const sent = performance.timeOrigin + performance.now()
    const { id } = await platform.json<{ id: string }>('/fn/clock', { headers: { prefer: 'respond-async' } })
    const result = await platform.request(`/v1/invocations/${id}/result?wait=30s`)
    const began = Number(await result.text())
    if (!(began > 0)) throw new Error(`the call ${id} has no result: ${result.status}`)
    samples.push(began - sent)
  }
  return latencyOf(samples)
}

/** The same synchronous calls twice: alone, and beside the jobs of another function. */
async function besideJobs(platform: Platform, durationMs: number): Promise<Pick<Lane, 'quiet' | 'beside'>> {
  const calls = () => {
    const target = get(platform.port, '/fn/echo')
    return runLoad({ mode: 'closed', client: 'lean', target, connections: 1, durationMs, warmUpMs: 300 })
  }
  const quiet = (await calls()).latencies[0]!
  const jobs: Target = { ...get(platform.port, '/fn/hello'), headers: [{ prefer: 'respond-async' }], expectStatus: 202 }
  const [beside] = await Promise.all([
    delay(500).then(calls),
    runLoad({
      ...{ mode: 'open', target: jobs, ratePerS: JOBS_PER_S, connections: CLIENTS },
      ...{ durationMs: durationMs + 1_500, warmUpMs: 0 },
    }),
  ])
  return { quiet, beside: beside.latencies[0]! }
}
