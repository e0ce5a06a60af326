// The durable lane without sandboxes: what accepting and running cost as functions, each with a queue of its own, grow in
// number; beside bare BullMQ on the same Redis with jobs of the same size. `node bench/lane-growth.ts [calls]` prints a line for each number of queues.
import { Queue } from 'bullmq'
import { createFakeWorker } from '../test/support/fake-worker.ts'
import { openLane, submissionOf } from '../test/support/lane.ts'
import { startTestRedis } from '../test/support/redis.ts'
import { envelopeText, makeEnvelope } from '../worker/queue/envelope.ts'
import { payloadOf } from './bare-queue.ts'
import { latencyOf } from './latency.ts'

const CLIENTS = 16
const QUEUES = [1, 10, 100, 1_000]

export interface LaneCost {
  readonly queues: number
  /** Acknowledged a second, and how long each took, ms. */
  readonly acceptedPerS: number
  readonly acceptP50Ms: number
  readonly acceptP99Ms: number
  /** Run to their end a second, all of them waiting at the start. */
  readonly ranPerS: number
  readonly barePerS: number
}

/** A Redis of its own, gone afterwards. */
export async function measureLane(queues: number, calls: number): Promise<LaneCost> {
  const redis = await startTestRedis()
  const lane = await openLane(
    redis,
    createFakeWorker(() => ({ status: 200 })),
  )
  const bare = new Queue('bare', { connection: { path: redis.socketPath } })
  try {
    await bare.waitUntilReady()
    const sample = makeEnvelope('', submissionOf('f0', { body: null }), { kind: 'none' }, 0)
    const payload = payloadOf(envelopeText(sample).length)
    const bareMs = await inTurn(calls, () => bare.add('call', payload))
    const samples: number[] = []
    const templates = Array.from({ length: queues }, (_, n) => submissionOf(`f${n}`, { body: null }))
    const acceptMs = await inTurn(calls, async (n) => {
      const from = performance.now()
      await lane.submit({ ...templates[n % queues]!, id: submissionOf('id').id })
      samples.push(performance.now() - from)
    })
    let done = 0
    const from = performance.now()
    await new Promise<void>((resolve, reject) => {
      lane.onFinished(() => ++done === calls && resolve())
      lane.start().catch(reject)
    })
    const ranMs = performance.now() - from
    const { p50, p99 } = latencyOf(samples)
    const perS = (ms: number) => (calls * 1_000) / ms
    const rates = { acceptedPerS: perS(acceptMs), ranPerS: perS(ranMs), barePerS: perS(bareMs) }
    return { queues, ...rates, acceptP50Ms: p50, acceptP99Ms: p99 }
  } finally {
    await lane.close()
    await bare.close()
    await redis.close()
  }
}

/** Runs `work` so many times, by so many clients that each wait for their answer; resolves to the time of all, ms. */
async function inTurn(calls: number, work: (n: number) => Promise<unknown>): Promise<number> {
  const from = performance.now()
  let next = 0
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (next < calls) await work(next++)
    }),
  )
  return performance.now() - from
}

if (import.meta.main) {
  const calls = Number(process.argv[2] ?? 4_000)
  for (const queues of QUEUES) {
    const { acceptedPerS, acceptP50Ms, acceptP99Ms, ranPerS, barePerS } = await measureLane(queues, calls)
    const share = (acceptedPerS / barePerS).toFixed(2)
    const latency = `p50 ${acceptP50Ms.toFixed(2)} ms, p99 ${acceptP99Ms.toFixed(2)} ms`
    console.log(
      `${queues} queues: ${Math.round(acceptedPerS)}/s accepted (${latency}; ${share} of bare), ${Math.round(ranPerS)}/s run`,
    )
  }
}
