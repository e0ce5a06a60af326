// What a sandbox is charged for what comes over its wire. Frames that move a call on cost nothing; lines, small pieces and reads that
// bring next to nothing are charged to the sandbox's budget. Checks no frame: the channel does.
import type { Clock } from '../api.ts'
import { FRAME, readU32 } from '../protocol/frames.ts'
import { FRAME_COST_BYTES, ReadBudget, WIRE_READ_COST_BYTES } from './read-budget.ts'

/** Reads a call may cause without being charged, besides those that move it on: lines that it prints one by one. */
const FREE_READS_PER_CALL = 4
const MOST_FREE_READS = 64
/** A read that brings so much is worth it. */
const LARGE_READ_BYTES = 2048
/** And so is a credit for so much of a request's body: the caller had to send that. */
const LARGE_CREDIT_BYTES = 2048
/** Below this, credits do not pay for what a DATA frame costs to handle. */
const SMALL_FRAME_BYTES = 512

export class WireCharges {
  readonly #budget: ReadBudget
  #freeReads = MOST_FREE_READS
  /** What was read now carried a call further. */
  #progressed = false
  #charged = false

  constructor(clock: Clock) {
    this.#budget = new ReadBudget(clock)
  }

  /** From now on what comes is also charged to the budget of its group. */
  share(budget: ReadBudget): void {
    this.#budget.share(budget)
  }

  beginCall(): void {
    this.#freeReads = Math.min(MOST_FREE_READS, this.#freeReads + FREE_READS_PER_CALL)
  }

  beginRead(): void {
    this.#progressed = false
    this.#charged = false
  }

  /** A frame of a call. At most one each of most kinds fits into a call: those cost nothing more. */
  frame(type: number, payload: Buffer): void {
    const isSmall = payload.length < SMALL_FRAME_BYTES
    if (type !== FRAME.LOG && (!isSmall || (type !== FRAME.DATA && type !== FRAME.CREDIT))) {
      this.#progressed = true
      return
    }
    this.pay(payload.length)
    if (type === FRAME.CREDIT && payload.length === 4 && readU32(payload, 0) >= LARGE_CREDIT_BYTES)
      this.#progressed = true
  }

  /** A frame that is always charged. */
  pay(bytes: number): void {
    this.#charge(Math.max(bytes, FRAME_COST_BYTES))
  }

  /** After a read of `bytes`: 0, or how long to stop reading, in ms. What was charged nothing is read on, whatever others of the
   *  same group owe. */
  pauseMs(bytes: number): number {
    if (!this.#progressed && bytes < LARGE_READ_BYTES && --this.#freeReads < 0) {
      this.#freeReads = 0
      this.#charge(WIRE_READ_COST_BYTES)
    }
    return this.#charged ? this.#budget.pauseMs() : 0
  }

  #charge(bytes: number): void {
    this.#charged = true
    this.#budget.charge(bytes)
  }
}
