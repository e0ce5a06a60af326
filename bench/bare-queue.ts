// The yardstick of the durable lane, a process of its own: BullMQ's `add` alone, on the Redis and with the payload that the lane
// has. `node bench/bare-queue.ts SOCKET DURATION_MS CLIENTS PAYLOAD_BYTES` prints one BareQueue as JSON and takes its jobs away.
import { Queue } from 'bullmq'
import { type Curve, curveOf, type Latency, latencyOf } from './latency.ts'

export interface BareQueue {
  readonly rate: number
  readonly latency: Latency
  readonly curve: Curve
  /** CPU of this process an add, µs. */
  readonly cpuUs: number
}

const WARM_UP_MS = 700

export async function openBareQueue(socketPath: string, name: string): Promise<Queue> {
  const queue = new Queue(name, { connection: { path: socketPath } })
  await queue.waitUntilReady()
  return queue
}

/** Its jobs go, too. */
export async function closeBareQueue(queue: Queue): Promise<void> {
  await queue.obliterate({ force: true })
  await queue.close()
}

/** As JSON it is about so many bytes. */
export function payloadOf(bytes: number): object {
  const payload = { method: 'GET', target: '/', headers: [], rest: '' }
  return { ...payload, rest: 'x'.repeat(Math.max(0, bytes - JSON.stringify(payload).length)) }
}

/** Adds by `clients` loops that each wait for their acknowledgement. */
async function addFor(queue: Queue, payload: object, durationMs: number, clients: number): Promise<BareQueue> {
  const from = performance.now() + WARM_UP_MS
  const end = from + durationMs
  const samples: number[] = []
  let added = 0
  const before = process.cpuUsage()
  const work = async (): Promise<void> => {
    for (;;) {
      const sent = performance.now()
      await queue.add('call', payload)
      added++
      const now = performance.now()
      if (now > end) return
      if (sent >= from) samples.push(now - sent)
    }
  }
  await Promise.all(Array.from({ length: clients }, work))
  const { user, system } = process.cpuUsage(before)
  return {
    rate: (samples.length * 1000) / durationMs,
    ...{ latency: latencyOf(samples), curve: curveOf(samples), cpuUs: (user + system) / added },
  }
}

if (import.meta.main) {
  const [socketPath = '', durationMs, clients, bytes] = process.argv.slice(2)
  const queue = await openBareQueue(socketPath, 'bare')
  console.log(JSON.stringify(await addFor(queue, payloadOf(Number(bytes)), Number(durationMs), Number(clients))))
  await closeBareQueue(queue)
}
