// How long the event loop of this process stands: runs or sleeps in one piece, so that nothing else gets its turn. A timer of 20 ms
// tells it by how late it comes. Only measures; the watchdog acts.
import { closeSync, openSync, readSync } from 'node:fs'
import type { LoopStands } from '../api.ts'
import { parseCoreWait } from './core-wait.ts'

/** How often the loop is looked at: a stand is measured this much too long at most. */
export const LOOK_MS = 20
/** A timer that comes this late tells of no stand: so much is the clock's and the scheduler's own. */
const PUNCTUAL_MS = 10

/** What is measured from; the real ones are `watchLoop`'s. */
export interface LoopClock {
  /** ms, never steps. */
  monotonicMs(): number
  /** ms since any fixed time in which the thread could have run and had no core; 0 where nothing tells. */
  coreWaitMs(): number
}

/** The figures, moved on by `look`. Waiting for a core is not the loop's own doing: it is counted apart. */
export class LoopMeter implements Omit<LoopStands, 'stalls'> {
  readonly #clock: LoopClock
  readonly #listeners = new Set<(ms: number) => void>()
  #lastMs: number
  #lastWaitMs: number
  #firstWaitMs: number
  #longestMs = 0

  constructor(clock: LoopClock) {
    this.#clock = clock
    this.#lastMs = clock.monotonicMs()
    this.#lastWaitMs = clock.coreWaitMs()
    this.#firstWaitMs = this.#lastWaitMs
  }

  /** Called by a timer each `LOOK_MS`. */
  look(): void {
    const nowMs = this.#clock.monotonicMs()
    const waitMs = this.#clock.coreWaitMs()
    const stoodMs = nowMs - this.#lastMs - (waitMs - this.#lastWaitMs)
    this.#lastMs = nowMs
    this.#lastWaitMs = waitMs
    if (stoodMs < LOOK_MS + PUNCTUAL_MS) return
    this.#longestMs = Math.max(this.#longestMs, stoodMs)
    for (const tell of this.#listeners) tell(stoodMs)
  }

  takeLongestMs(): number {
    this.look()
    const longestMs = this.#longestMs
    this.#longestMs = 0
    return longestMs
  }

  onStand(tell: (ms: number) => void): () => void {
    this.#listeners.add(tell)
    return () => this.#listeners.delete(tell)
  }

  coreWaitMs(): number {
    return this.#clock.coreWaitMs() - this.#firstWaitMs
  }
}

/** Measures this process's main thread, by which it must be called, until `close`; `onLook` is called each `LOOK_MS` with it. */
export function watchLoop(onLook: () => void = () => {}): Omit<LoopStands, 'stalls'> & { close(): void } {
  const waits = openCoreWaits()
  const meter = new LoopMeter({ monotonicMs: () => performance.now(), coreWaitMs: waits.read })
  const look = (): void => {
    meter.look()
    onLook()
  }
  const timer = setInterval(look, LOOK_MS).unref()
  return {
    takeLongestMs: () => meter.takeLongestMs(),
    onStand: (tell) => meter.onStand(tell),
    coreWaitMs: () => meter.coreWaitMs(),
    close() {
      clearInterval(timer)
      waits.close()
    },
  }
}

/** The main thread's waits, read from one open file: 50 times a second opening it each time would cost more than the rest. */
function openCoreWaits(): { read(): number; close(): void } {
  const text = Buffer.alloc(96)
  let fd: number | null = null
  try {
    fd = openSync('/proc/self/schedstat', 'r')
  } catch {
    // A kernel without CONFIG_SCHED_INFO: waits then count as stands.
  }
  return {
    read() {
      if (fd === null) return 0
      return (parseCoreWait(text.toString('latin1', 0, readSync(fd, text, 0, text.length, 0))) ?? 0) / 1000
    },
    close() {
      if (fd !== null) closeSync(fd)
      fd = null
    },
  }
}
