// The load generator, a process of its own: `node bench/load.ts '<Load as JSON>'` prints one LoadResult as JSON. Loopback only,
// bounded by connections and time. `closed`: each connection sends as soon as it is answered. `open`: calls at fixed instants.
// `paced`: one call at a time with a pause before each, over the targets in turn, so that all of them meet the same gap and noise.
import { setTimeout as delay } from 'node:timers/promises'
import { type Client, type ClientKind, openClient } from './clients.ts'
import { type Curve, curveOf, type Latency, latencyOf } from './latency.ts'
import { startMetronome } from './metronome.ts'
import { createOpenLoop } from './open-loop.ts'

export interface Target {
  readonly port: number
  readonly path: string
  readonly method: 'GET' | 'POST'
  /** Sets of request headers, sent in turn; an empty list sends none. */
  readonly headers: readonly Readonly<Record<string, string>>[]
  readonly bodyBytes: number
  readonly expectStatus: number
}

interface OneTarget {
  readonly target: Target
  readonly connections: number
  readonly durationMs: number
  readonly warmUpMs: number
}

export type Load =
  | (OneTarget & { readonly mode: 'closed'; readonly client: ClientKind })
  | (OneTarget & { readonly mode: 'open'; readonly ratePerS: number; readonly timeline?: boolean })
  | { readonly mode: 'paced'; readonly targets: readonly Target[]; readonly gapMs: number; readonly calls: number }

export interface LoadResult {
  /** One for each target. */
  readonly latencies: readonly Latency[]
  readonly curves: readonly Curve[]
  /** Completed calls a second; 0 when paced. */
  readonly rate: number
  /** Calls made in all, those of the warm-up included. */
  readonly calls: number
  /** CPU time of this process for all of them, its start left out, ms. */
  readonly cpuMs: number
  /** How late an open loop sent its calls by its own fault. */
  readonly lateness: Latency | null
  readonly errors: number
  readonly firstError: string | null
  /** When each counted call was due (ms, by the wall clock) and what it took; only of an open loop that is asked for it. */
  readonly timeline: readonly (readonly [dueMs: number, tookMs: number])[]
  /** How calls got their sandbox (`Fn-Start`), a count for each target; only when paced. */
  readonly starts: readonly Readonly<Record<string, number>>[]
}

type Measured = Pick<LoadResult, 'latencies' | 'curves' | 'rate'> &
  Partial<Pick<LoadResult, 'lateness' | 'starts' | 'timeline'>>

const MAX_CONNECTIONS = 64
const MAX_DURATION_MS = 60_000
/** Its thread is running by then. */
const METRONOME_START_MS = 100

/** Makes calls, and counts them and what went wrong. */
class Caller {
  calls = 0
  errors = 0
  firstError: string | null = null

  fail(reason: string): void {
    this.errors++
    this.firstError ??= reason
  }

  /** Resolves to the response's head. Rejects when the connection breaks. */
  async call(client: Client, n: number, target: Target): Promise<string> {
    this.calls++
    const answer = await client.exchange(n)
    if (answer.status !== target.expectStatus) this.fail(`status ${answer.status}:\n${answer.head}`)
    else if (target.method === 'POST' && target.expectStatus === 200 && answer.bodyBytes !== target.bodyBytes) {
      this.fail(`${answer.bodyBytes} bytes of body instead of ${target.bodyBytes}`)
    }
    return answer.head
  }
}

async function runClosed(load: Load & { mode: 'closed' }, caller: Caller): Promise<Measured> {
  const samples: number[] = []
  const measureFrom = performance.now() + load.warmUpMs
  const end = measureFrom + Math.min(load.durationMs, MAX_DURATION_MS)
  const work = async (): Promise<void> => {
    const client = await openClient(load.client, load.target)
    try {
      for (let n = 0; ; n++) {
        const sent = performance.now()
        if (sent >= end) return
        await caller.call(client, n, load.target)
        const answered = performance.now()
        if (sent >= measureFrom && answered <= end) samples.push(answered - sent)
      }
    } finally {
      client.close()
    }
  }
  const workers = Array.from({ length: Math.min(load.connections, MAX_CONNECTIONS) }, () =>
    work().catch((error: Error) => caller.fail(error.message)),
  )
  await Promise.all(workers)
  const rate = (samples.length * 1000) / load.durationMs
  return { latencies: [latencyOf(samples)], curves: [curveOf(samples)], rate }
}

async function runOpen(load: Load & { mode: 'open' }, caller: Caller): Promise<Measured> {
  const connections = Math.min(load.connections, MAX_CONNECTIONS)
  const clients = await Promise.all(Array.from({ length: connections }, () => openClient('lean', load.target)))
  const startMs = performance.now() + METRONOME_START_MS
  const loop = createOpenLoop({
    startMs,
    ratePerS: load.ratePerS,
    durationMs: Math.min(load.durationMs, MAX_DURATION_MS),
    warmUpMs: load.warmUpMs,
    connections,
    now: () => performance.now(),
    call: (connection, n) =>
      caller.call(clients[connection]!, n, load.target).then(
        () => {},
        (error: Error) => caller.fail(error.message),
      ),
  })
  const metronome = startMetronome(startMs, 1000 / load.ratePerS, () => loop.tick())
  const { samples, dues, lateness, ratePerS } = await loop.done
  await metronome.stop()
  for (const client of clients) client.close()
  const measured = { latencies: [latencyOf(samples)], curves: [curveOf(samples)], rate: ratePerS }
  if (load.timeline !== true) return { ...measured, lateness: latencyOf(lateness) }
  const timeline = samples.map((took, n) => [performance.timeOrigin + dues[n]!, took] as const)
  return { ...measured, lateness: latencyOf(lateness), timeline }
}

async function runPaced(load: Load & { mode: 'paced' }, caller: Caller): Promise<Measured> {
  const lanes = await Promise.all(
    load.targets.map(async (target) => ({
      target,
      client: await openClient('lean', target),
      samples: [] as number[],
      starts: {} as Record<string, number>,
    })),
  )
  for (let n = 0; n < load.calls; n++) {
    for (const lane of lanes) {
      await delay(load.gapMs)
      const sent = performance.now()
      const head = await caller.call(lane.client, n, lane.target)
      const took = performance.now() - sent
      // The first call may start the sandbox.
      if (n === 0) continue
      lane.samples.push(took)
      const start = /\r\nfn-start: *([a-z]+)/i.exec(head)?.[1]
      if (start !== undefined) lane.starts[start] = (lane.starts[start] ?? 0) + 1
    }
  }
  for (const lane of lanes) lane.client.close()
  return {
    latencies: lanes.map((lane) => latencyOf(lane.samples)),
    curves: lanes.map((lane) => curveOf(lane.samples)),
    rate: 0,
    starts: lanes.map((lane) => lane.starts),
  }
}

async function runLoad(load: Load, caller: Caller): Promise<Measured> {
  if (load.mode === 'closed') return runClosed(load, caller)
  return load.mode === 'open' ? runOpen(load, caller) : runPaced(load, caller)
}

const caller = new Caller()
const before = process.cpuUsage()
const measured = await runLoad(JSON.parse(process.argv[2] ?? '{}') as Load, caller)
const { user, system } = process.cpuUsage(before)
const { calls, errors, firstError } = caller
const result: LoadResult = {
  ...{ lateness: null, starts: [], timeline: [], ...measured },
  ...{ calls, cpuMs: (user + system) / 1000, errors, firstError },
}
process.stdout.write(`${JSON.stringify(result)}\n`)
