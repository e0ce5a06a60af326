// The clock of an open loop: calls back at fixed instants. A thread of its own sleeps on a futex and wakes this one, for timers
// of the event loop are whole milliseconds and a busy loop would take a core from what is measured.
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** Bounds what is due at once after a pause of this process. */
const LEAST_TICK_MS = 0.5

interface Beat {
  /** By the wall clock, which threads share. */
  readonly firstMs: number
  readonly intervalMs: number
  /** Not 0: stop. A thread that is terminated while it waits here may never end. */
  readonly stopped: Int32Array
}

/** Calls `onTick` at `startMs` (of `performance.now()`) and every `intervalMs` after it, each a little late, until `stop`. Nothing
 *  is caught up: the caller counts what is due. */
export function startMetronome(startMs: number, intervalMs: number, onTick: () => void): { stop(): Promise<void> } {
  const beat: Beat = {
    firstMs: performance.timeOrigin + startMs,
    intervalMs: intervalMs * Math.ceil(LEAST_TICK_MS / intervalMs),
    stopped: new Int32Array(new SharedArrayBuffer(4)),
  }
  const thread = new Worker(new URL(import.meta.url), { workerData: beat })
  thread.on('message', onTick)
  return {
    stop: async () => {
      const ended = once(thread, 'exit')
      Atomics.store(beat.stopped, 0, 1)
      Atomics.notify(beat.stopped, 0)
      await ended
    },
  }
}

function tick({ firstMs, intervalMs, stopped }: Beat): void {
  for (let next = firstMs - performance.timeOrigin; Atomics.load(stopped, 0) === 0; next += intervalMs) {
    const wait = next - performance.now()
    if (wait > 0) Atomics.wait(stopped, 0, 0, wait)
    parentPort?.postMessage(null)
  }
}

if (!isMainThread) tick(workerData as Beat)
