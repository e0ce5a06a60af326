// Decides which queue is asked next: fair over functions, bounded for each and over all, woken by news and by due times.
// It knows queues only by key; fetching and running are given to it.
//
// Three bounds hold for a queue at once: its function's `concurrency`; its share of all slots, which leaves room for
// others; and its window, which follows how long its calls wait in the worker, so that a backlog stays in the queue and a
// synchronous call of the same function does not stand behind it.
import type { Clock, Logger } from '../../runtime/api.ts'
import { FIRST_WINDOW, mayTake, nextWindow } from './dispatch-policy.ts'

export interface DispatcherOptions<J> {
  /** Runs at once, over all queues. */
  readonly concurrency: number
  readonly clock: Clock
  readonly logger: Logger
  available(): boolean
  /** True while calls press to be accepted: then few run. */
  pressed?(): boolean
  /** One job of the queue; else when its next one is due (ms since the epoch; null: nothing there). */
  fetch(queueKey: string): Promise<{ readonly job: J | null; readonly nextAtMs: number | null }>
  /** Must not reject. Resolves to how long the job waited in the worker, ms; null: it did not run. */
  run(job: J): Promise<number | null>
}

interface QueueState {
  readonly key: string
  limit: number
  window: number
  running: number
  fetching: number
  /** Fetches at once: grows while they find jobs, one after a wake-up of an empty queue. */
  stride: number
  /** When to ask it next; 0: now, Infinity: when woken. */
  dueAtMs: number
  /** `Clock.monotonicMs`: a hold is a duration, whatever becomes of the date. */
  heldUntilMs: number
  /** Grows with each wake: an answer "nothing there" that is older than the last wake does not count. */
  wakes: number
}

const FETCHES_A_QUEUE = 4
const FETCH_FAILED_MS = 1_000
const DEFAULT_LIMIT = 100

export class Dispatcher<J> {
  readonly #options: DispatcherOptions<J>
  readonly #queues = new Map<string, QueueState>()
  /** To be asked, in this order; who was asked goes to the end. */
  readonly #ring = new Set<QueueState>()
  /** Due, but at one of their bounds: looked at again when a run ends. */
  readonly #full = new Set<QueueState>()
  /** Not due yet. */
  readonly #asleep = new Set<QueueState>()
  #taken = 0
  #stopped = true
  #timerAtMs = Infinity
  #cancelTimer: () => void = () => {}

  constructor(options: DispatcherOptions<J>) {
    this.#options = options
  }

  start(): void {
    this.#stopped = false
    for (const queue of [...this.#asleep]) this.#place(queue)
    this.#pump()
  }

  /** Fetches no more; what runs goes on. */
  stop(): void {
    this.#stopped = true
    this.#cancelTimer()
    this.#timerAtMs = Infinity
  }

  keys(): string[] {
    return [...this.#queues.keys()]
  }

  /** True while an answer is awaited that may hand out a job. */
  isFetching(queueKey: string): boolean {
    return (this.#queues.get(queueKey)?.fetching ?? 0) > 0
  }

  /** The queue has something to run, now or at `atMs`. */
  wake(queueKey: string, atMs = 0): void {
    const queue = this.#state(queueKey)
    queue.wakes++
    queue.dueAtMs = Math.min(queue.dueAtMs, atMs)
    this.#place(queue)
    this.#pump()
  }

  wakeAll(): void {
    for (const queue of this.#queues.values()) {
      queue.wakes++
      queue.dueAtMs = 0
      this.#place(queue)
    }
    this.#pump()
  }

  /** Runs at once, of this queue. */
  limit(queueKey: string, limit: number): void {
    this.#state(queueKey).limit = limit
  }

  /** Leaves the queue alone for a while: the platform has no room for it. */
  pause(queueKey: string, ms: number): void {
    const queue = this.#state(queueKey)
    queue.heldUntilMs = Math.max(queue.heldUntilMs, this.#options.clock.monotonicMs() + ms)
    this.#place(queue)
  }

  #state(key: string): QueueState {
    const known = this.#queues.get(key)
    if (known !== undefined) return known
    const state: QueueState = {
      key,
      limit: DEFAULT_LIMIT,
      window: FIRST_WINDOW,
      running: 0,
      fetching: 0,
      stride: 1,
      dueAtMs: Infinity,
      heldUntilMs: -Infinity,
      wakes: 0,
    }
    this.#queues.set(key, state)
    return state
  }

  /** Where it belongs by its due time: among those to be asked, those asleep, or neither. */
  #place(queue: QueueState): void {
    const waitMs = this.#waitOf(queue)
    if (waitMs <= 0) {
      this.#asleep.delete(queue)
      if (!this.#full.has(queue)) this.#ring.add(queue)
      return
    }
    this.#ring.delete(queue)
    this.#full.delete(queue)
    if (waitMs === Infinity) this.#asleep.delete(queue)
    else {
      this.#asleep.add(queue)
      this.#armTimer(waitMs)
    }
  }

  #pump(): void {
    if (this.#stopped || !this.#options.available()) return
    for (const queue of this.#ring) {
      const taken = { all: this.#taken, slots: this.#options.concurrency, pressed: this.#options.pressed?.() ?? false }
      if (!mayTake(taken)) return
      this.#ring.delete(queue)
      if (!hasRoom(queue, this.#options.concurrency - this.#taken)) {
        this.#full.add(queue)
        continue
      }
      this.#ring.add(queue)
      this.#taken++
      queue.fetching++
      void this.#fetchAndRun(queue)
    }
  }

  async #fetchAndRun(queue: QueueState): Promise<void> {
    const { wakes } = queue
    try {
      const fetched = await this.#options.fetch(queue.key)
      queue.fetching--
      if (fetched.job === null) {
        queue.stride = 1
        if (queue.wakes === wakes) queue.dueAtMs = fetched.nextAtMs ?? Infinity
        return
      }
      queue.running++
      queue.stride = Math.min(FETCHES_A_QUEUE, queue.stride + 1)
      this.#reconsider(queue)
      const waitedMs = await this.#options.run(fetched.job).finally(() => queue.running--)
      queue.window = nextWindow(queue.window, queue.running + 1, waitedMs)
    } catch (error) {
      queue.fetching = Math.max(0, queue.fetching - 1)
      this.pause(queue.key, FETCH_FAILED_MS)
      this.#options.logger.debug({ queue: queue.key, reason: (error as Error).message }, 'a queue could not be asked')
    } finally {
      this.#taken--
      // One slot more is free: every share grew.
      for (const full of this.#full) this.#ring.add(full)
      this.#full.clear()
      this.#reconsider(queue)
    }
  }

  #reconsider(queue: QueueState): void {
    if (this.#full.delete(queue)) this.#ring.add(queue)
    this.#place(queue)
    this.#pump()
  }

  /** How long until it may be asked, ms. */
  #waitOf(queue: QueueState): number {
    const { clock } = this.#options
    return Math.max(queue.dueAtMs - clock.now(), queue.heldUntilMs - clock.monotonicMs())
  }

  /** One timer, for the earliest time to ask that lies ahead. */
  #armTimer(waitMs: number): void {
    const { clock } = this.#options
    const atMs = clock.monotonicMs() + waitMs
    if (this.#stopped || atMs >= this.#timerAtMs) return
    this.#cancelTimer()
    this.#timerAtMs = atMs
    this.#cancelTimer = clock.after(Math.max(1, waitMs), () => {
      this.#timerAtMs = Infinity
      for (const queue of [...this.#asleep]) this.#place(queue)
      this.#pump()
    })
  }
}

function hasRoom(queue: QueueState, freeSlots: number): boolean {
  const taken = queue.running + queue.fetching
  if (queue.fetching >= queue.stride || taken >= queue.limit || taken >= Math.floor(queue.window)) return false
  return taken === 0 || taken < SHARE_OF_FREE * freeSlots
}

/** One queue alone takes two thirds of the slots, the next two thirds of the rest, and so on: there is always one left for a
 *  queue that has none (the dynamic thresholds of shared-memory switches: Choudhury and Hahne, 1998). */
const SHARE_OF_FREE = 2
