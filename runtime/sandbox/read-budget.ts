// How much work a sandbox may make for the host by what it writes: a bucket of bytes that refills with time, and one that all
// sandboxes of its group (a namespace) share. Work that costs more than its bytes say (a read that brings one byte, a frame, a
// line) is charged as more. A sandbox above its budget is not read for a while, so the writer inside blocks. Unlike a TokenBucket
// it is charged after the work, may owe, asks the clock only when it is empty, and goes on when it is full again by a part.
import type { Clock } from '../api.ts'

export interface BudgetRate {
  readonly capacityBytes: number
  readonly refillBytesPerMs: number
  /** Reading goes on when the bucket is this full again. */
  readonly resumeBytes: number
}

/** Of one sandbox: its wire has one such bucket, its stdout and stderr together another. */
export const SANDBOX_RATE: BudgetRate = Object.freeze({
  capacityBytes: 1024 * 1024,
  refillBytesPerMs: 10 * 1024,
  resumeBytes: 256 * 1024,
})

/** Of all sandboxes of one group. */
const GROUP_RATE: BudgetRate = Object.freeze({
  capacityBytes: 4 * 1024 * 1024,
  refillBytesPerMs: 30 * 1024,
  resumeBytes: 512 * 1024,
})

/** A frame is charged at least this much, however small. */
export const FRAME_COST_BYTES = 512
/** A read of the wire that brings little and carries a call no further: to be woken for it, and the call into JavaScript. */
export const WIRE_READ_COST_BYTES = 8 * 1024
/** A read of stdout or stderr: the same, through a stream of Node's. */
export const OUTPUT_READ_COST_BYTES = 16 * 1024
/** A line of stdout or stderr, on top of its bytes. */
export const LINE_COST_BYTES = 128

export class ReadBudget {
  readonly #clock: Clock
  readonly #rate: BudgetRate
  #shared: ReadBudget | null = null
  #left: number
  #filledAtMs: number

  constructor(clock: Clock, rate: BudgetRate = SANDBOX_RATE) {
    this.#clock = clock
    this.#rate = rate
    this.#left = rate.capacityBytes
    this.#filledAtMs = clock.monotonicMs()
  }

  /** From now on what is charged here is also charged there. */
  share(shared: ReadBudget): void {
    this.#shared = shared
  }

  charge(bytes: number): void {
    this.#left -= bytes
    this.#shared?.charge(bytes)
  }

  /** 0 while there is something left of both, else how long to stop reading, in ms. */
  pauseMs(): number {
    const own = this.#left > 0 ? 0 : this.#missingMs()
    const shared = this.#shared?.pauseMs() ?? 0
    return Math.max(own, shared)
  }

  #missingMs(): number {
    const { capacityBytes, refillBytesPerMs, resumeBytes } = this.#rate
    const nowMs = this.#clock.monotonicMs()
    this.#left = Math.min(capacityBytes, this.#left + (nowMs - this.#filledAtMs) * refillBytesPerMs)
    this.#filledAtMs = nowMs
    return this.#left > 0 ? 0 : Math.ceil((resumeBytes - this.#left) / refillBytesPerMs)
  }
}

/** The shared buckets of all groups that have sandboxes. */
export class GroupBudgets {
  readonly #clock: Clock
  readonly #byGroup = new Map<string, { readonly budget: ReadBudget; users: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The group's bucket; call `leave` when the sandbox is gone. */
  join(group: string): { readonly budget: ReadBudget; leave(): void } {
    const entry = this.#byGroup.get(group) ?? { budget: new ReadBudget(this.#clock, GROUP_RATE), users: 0 }
    this.#byGroup.set(group, entry)
    entry.users++
    let left = false
    return {
      budget: entry.budget,
      leave: () => {
        if (left) return
        left = true
        if (--entry.users === 0) this.#byGroup.delete(group)
      },
    }
  }
}
