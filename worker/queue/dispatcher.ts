// Decides which queue is asked next: fair over functions, bounded for each and over all, woken by news and by due times.
// It knows queues only by key; fetching and running are given to it.
import type { Clock, Logger } from '../../runtime/api.ts'

export interface DispatcherOptions<J> {
  /** Runs at once, over all queues. */
  readonly concurrency: number
  readonly clock: Clock
  readonly logger: Logger
  available(): boolean
  /** One job of the queue; else when its next one is due (ms since the epoch; null: nothing there). */
  fetch(queueKey: string): Promise<{ readonly job: J | null; readonly nextAtMs: number | null }>
  /** Must not reject. */
  run(job: J): Promise<void>
}

interface QueueState {
  readonly key: string
  limit: number
  running: number
  fetching: number
  /** Fetches at once: grows while they find jobs, one after a wake-up of an empty queue. */
  stride: number
  /** When to ask it next; 0: now, Infinity: when woken. */
  dueAtMs: number
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
  #order: QueueState[] = []
  #next = 0
  #taken = 0
  #stopped = true
  #cancelTimer: () => void = () => {}

  constructor(options: DispatcherOptions<J>) {
    this.#options = options
  }

  start(): void {
    this.#stopped = false
    this.#pump()
  }

  /** Fetches no more; what runs goes on. */
  stop(): void {
    this.#stopped = true
    this.#cancelTimer()
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
    this.#pump()
  }

  wakeAll(): void {
    for (const queue of this.#order) {
      queue.wakes++
      queue.dueAtMs = 0
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
    queue.heldUntilMs = Math.max(queue.heldUntilMs, this.#options.clock.now() + ms)
  }

  #state(key: string): QueueState {
    const known = this.#queues.get(key)
    if (known !== undefined) return known
    const state = {
      key,
      limit: DEFAULT_LIMIT,
      running: 0,
      fetching: 0,
      stride: 1,
      dueAtMs: Infinity,
      heldUntilMs: 0,
      wakes: 0,
    }
    this.#queues.set(key, state)
    this.#order.push(state)
    return state
  }

  #pump(): void {
    if (this.#stopped || !this.#options.available()) return
    const nowMs = this.#options.clock.now()
    while (this.#taken < this.#options.concurrency) {
      const queue = this.#nextReady(nowMs)
      if (queue === null) break
      this.#taken++
      queue.fetching++
      void this.#fetchAndRun(queue)
    }
    this.#armTimer(nowMs)
  }

  /** Round robin: the search begins behind the queue served last. */
  #nextReady(nowMs: number): QueueState | null {
    for (let step = 0; step < this.#order.length; step++) {
      const index = (this.#next + step) % this.#order.length
      const queue = this.#order[index]!
      if (!hasRoom(queue) || readyAt(queue) > nowMs) continue
      this.#next = (index + 1) % this.#order.length
      return queue
    }
    return null
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
      this.#pump()
      await this.#options.run(fetched.job).finally(() => queue.running--)
    } catch (error) {
      queue.fetching = Math.max(0, queue.fetching - 1)
      this.pause(queue.key, FETCH_FAILED_MS)
      this.#options.logger.debug({ queue: queue.key, reason: (error as Error).message }, 'a queue could not be asked')
    } finally {
      this.#taken--
      this.#pump()
    }
  }

  /** One timer for the earliest due time that lies ahead. */
  #armTimer(nowMs: number): void {
    this.#cancelTimer()
    let earliest = Infinity
    for (const queue of this.#order) {
      const at = readyAt(queue)
      if (at > nowMs && at < earliest) earliest = at
    }
    this.#cancelTimer =
      earliest === Infinity ? () => {} : this.#options.clock.after(Math.max(1, earliest - nowMs), () => this.#pump())
  }
}

function hasRoom(queue: QueueState): boolean {
  return queue.running + queue.fetching < queue.limit && queue.fetching < queue.stride
}

function readyAt(queue: QueueState): number {
  return Math.max(queue.dueAtMs, queue.heldUntilMs)
}
