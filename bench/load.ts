// The load generator, a process of its own: `node bench/load.ts '<Load as JSON>'` prints one LoadResult as JSON. Loopback only,
// bounded by connections and time. `closed`: each connection sends as soon as it is answered. `paced`: one call at a time
// with a pause before each, over the targets in turn, so that all of them meet the same gap and the same noise.
import { setTimeout as delay } from 'node:timers/promises'
import { HttpConnection } from './http-connection.ts'
import { type Latency, latencyOf } from './latency.ts'

export interface Target {
  readonly port: number
  readonly path: string
  readonly method: 'GET' | 'POST'
  /** Sets of request headers, sent in turn; an empty list sends none. */
  readonly headers: readonly Readonly<Record<string, string>>[]
  readonly bodyBytes: number
  readonly expectStatus: number
}

export type Load =
  | {
      readonly mode: 'closed'
      readonly target: Target
      readonly connections: number
      readonly durationMs: number
      readonly warmUpMs: number
    }
  | { readonly mode: 'paced'; readonly targets: readonly Target[]; readonly gapMs: number; readonly calls: number }

export interface LoadResult {
  /** One for each target. */
  readonly latencies: readonly Latency[]
  /** Completed calls a second; 0 when paced. */
  readonly rate: number
  readonly errors: number
  readonly firstError: string | null
  /** How calls got their sandbox (`Fn-Start`), a count for each target; only when paced. */
  readonly starts: readonly Readonly<Record<string, number>>[]
}

const MAX_CONNECTIONS = 64
const MAX_DURATION_MS = 60_000

/** Counts what went wrong and keeps the first reason. */
class Faults {
  errors = 0
  first: string | null = null
  add(reason: string): void {
    this.errors++
    this.first ??= reason
  }
}

function requestsOf(target: Target): Buffer[] {
  const sets = target.headers.length === 0 ? [{}] : target.headers
  return sets.map((headers) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const length = target.method === 'POST' ? `content-length: ${target.bodyBytes}\r\n` : ''
    const head = `${target.method} ${target.path} HTTP/1.1\r\nhost: 127.0.0.1:${target.port}\r\n${length}${lines.join('')}\r\n`
    return Buffer.concat([
      Buffer.from(head, 'latin1'),
      Buffer.alloc(target.method === 'POST' ? target.bodyBytes : 0, 'x'),
    ])
  })
}

async function call(connection: HttpConnection, request: Buffer, target: Target, faults: Faults): Promise<string> {
  const answer = await connection.exchange(request)
  if (answer.status !== target.expectStatus) faults.add(`status ${answer.status}:\n${answer.head}`)
  else if (target.method === 'POST' && target.expectStatus === 200 && answer.bodyBytes !== target.bodyBytes) {
    faults.add(`${answer.bodyBytes} bytes of body instead of ${target.bodyBytes}`)
  }
  return answer.head
}

async function runClosed(load: Load & { mode: 'closed' }): Promise<LoadResult> {
  const requests = requestsOf(load.target)
  const samples: number[] = []
  const faults = new Faults()
  const measureFrom = performance.now() + load.warmUpMs
  const end = measureFrom + Math.min(load.durationMs, MAX_DURATION_MS)
  const work = async (): Promise<void> => {
    const connection = await HttpConnection.open(load.target.port)
    try {
      for (let n = 0; ; n++) {
        const sent = performance.now()
        if (sent >= end) return
        await call(connection, requests[n % requests.length]!, load.target, faults)
        const answered = performance.now()
        if (sent >= measureFrom && answered <= end) samples.push(answered - sent)
      }
    } finally {
      connection.close()
    }
  }
  const workers = Array.from({ length: Math.min(load.connections, MAX_CONNECTIONS) }, () =>
    work().catch((error: Error) => faults.add(error.message)),
  )
  await Promise.all(workers)
  const rate = (samples.length * 1000) / load.durationMs
  return { latencies: [latencyOf(samples)], rate, errors: faults.errors, firstError: faults.first, starts: [] }
}

async function runPaced(load: Load & { mode: 'paced' }): Promise<LoadResult> {
  const faults = new Faults()
  const lanes = await Promise.all(
    load.targets.map(async (target) => ({
      target,
      requests: requestsOf(target),
      connection: await HttpConnection.open(target.port),
      samples: [] as number[],
      starts: {} as Record<string, number>,
    })),
  )
  for (let n = 0; n < load.calls; n++) {
    for (const lane of lanes) {
      await delay(load.gapMs)
      const sent = performance.now()
      const head = await call(lane.connection, lane.requests[n % lane.requests.length]!, lane.target, faults)
      const took = performance.now() - sent
      // The first call may start the sandbox.
      if (n === 0) continue
      lane.samples.push(took)
      const start = /\r\nfn-start: *([a-z]+)/i.exec(head)?.[1]
      if (start !== undefined) lane.starts[start] = (lane.starts[start] ?? 0) + 1
    }
  }
  for (const lane of lanes) lane.connection.close()
  return {
    latencies: lanes.map((lane) => latencyOf(lane.samples)),
    rate: 0,
    errors: faults.errors,
    firstError: faults.first,
    starts: lanes.map((lane) => lane.starts),
  }
}

const load = JSON.parse(process.argv[2] ?? '{}') as Load
const result = await (load.mode === 'closed' ? runClosed(load) : runPaced(load))
process.stdout.write(`${JSON.stringify(result)}\n`)
