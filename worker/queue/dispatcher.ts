// Decides which queue is asked next: fair over namespaces first, then over the functions of each; woken by news and by due times.
// It knows queues only by key (`namespace/function`); fetching and running are given to it.
//
// Four bounds hold for a queue at once: its namespace's share of all slots, which leaves room for other namespaces; its own
// share of that; its function's `concurrency`; and its window, which follows how long its calls wait in the worker, so that a
// backlog stays in the queue and a synchronous call of the same function does not stand behind it.
import type { Clock, Logger } from '../../runtime/api.ts'
import { namespaceOf } from '../registry/names.ts'
import { FIRST_WINDOW, functionHasRoom, namespaceHasRoom, nextWindow, type Slots } from './dispatch-policy.ts'
import { Sleepers } from './sleepers.ts'

export interface DispatcherOptions<J> {
  /** Runs at once, over all queues. */
  readonly concurrency: number
  readonly clock: Clock
  readonly logger: Logger
  available(): boolean
  /** True while calls of this namespace press to be accepted: then few of it run. */
  pressed?(namespace: string): boolean
  /** One job of the queue; else when its next one is due (ms since the epoch; null: nothing there). */
  fetch(queueKey: string): Promise<{ readonly job: J | null; readonly nextAtMs: number | null }>
  /** Must not reject. Resolves to how long the job waited in the worker, ms; null: it did not run. */
  run(job: J): Promise<number | null>
}

/** A namespace: its queues that are due, in the order they are asked; the one that was asked goes to the end. */
interface NamespaceQueues {
  readonly name: string
  /** Slots that its queues have. */
  taken: number
  readonly ring: Set<QueueState>
  /** Due, but at their share: looked at again when any run ends. */
  readonly crowded: Set<QueueState>
}

interface QueueState {
  readonly key: string
  readonly namespace: NamespaceQueues
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
/** Timers of Node end at 2^31 ms. */
const LONGEST_TIMER_MS = 3_600_000

export class Dispatcher<J> {
  readonly #options: DispatcherOptions<J>
  readonly #queues = new Map<string, QueueState>()
  readonly #namespaces = new Map<string, NamespaceQueues>()
  /** Namespaces that have a queue to be asked, in this order; the one that was asked goes to the end. */
  readonly #ring = new Set<NamespaceQueues>()
  /** At their share, or with queues that are: looked at again when any run ends. */
  readonly #held = new Set<NamespaceQueues>()
  /** Due, but at a bound of their own: looked at again when one of their own runs ends. */
  readonly #full = new Set<QueueState>()
  /** Not due yet; times of `Clock.monotonicMs`. */
  readonly #asleep = new Sleepers<QueueState>()
  #taken = 0
  #stopped = true
  #timerAtMs = Infinity
  #cancelTimer: () => void = () => {}

  constructor(options: DispatcherOptions<J>) {
    this.#options = options
  }

  start(): void {
    this.#stopped = false
    this.#wakeSleepers()
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
      namespace: this.#namespace(namespaceOf(key)),
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

  #namespace(name: string): NamespaceQueues {
    let namespace = this.#namespaces.get(name)
    if (namespace === undefined) {
      namespace = { name, taken: 0, ring: new Set(), crowded: new Set() }
      this.#namespaces.set(name, namespace)
    }
    return namespace
  }

  /** Where it belongs by its due time: among those to be asked, those asleep, or neither. */
  #place(queue: QueueState): void {
    const { namespace } = queue
    const waitMs = this.#waitOf(queue)
    if (waitMs <= 0) {
      this.#asleep.delete(queue)
      if (this.#full.has(queue) || namespace.crowded.has(queue)) return
      namespace.ring.add(queue)
      this.#held.delete(namespace)
      this.#ring.add(namespace)
      return
    }
    namespace.ring.delete(queue)
    namespace.crowded.delete(queue)
    this.#full.delete(queue)
    if (waitMs === Infinity) {
      this.#asleep.delete(queue)
      return
    }
    this.#asleep.put(queue, this.#options.clock.monotonicMs() + waitMs)
    this.#armTimer()
  }

  #pump(): void {
    if (this.#stopped || !this.#options.available()) return
    for (const namespace of this.#ring) {
      if (this.#taken >= this.#options.concurrency) return
      this.#ring.delete(namespace)
      const queue = this.#next(namespace)
      if (queue === null) continue
      this.#ring.add(namespace)
      this.#taken++
      namespace.taken++
      queue.fetching++
      void this.#fetchAndRun(queue)
    }
  }

  /** Of a namespace whose turn it is, the queue whose turn it is; null: it may take none now. */
  #next(namespace: NamespaceQueues): QueueState | null {
    const pressed = this.#options.pressed?.(namespace.name) ?? false
    const slots = { all: this.#options.concurrency, taken: this.#taken, byNamespace: namespace.taken, pressed }
    if (!namespaceHasRoom(slots)) {
      if (namespace.ring.size > 0) this.#held.add(namespace)
      return null
    }
    for (const queue of namespace.ring) {
      namespace.ring.delete(queue)
      const verdict = roomOf(queue, slots)
      if (verdict === 'room') {
        namespace.ring.add(queue)
        return queue
      }
      if (verdict === 'full') this.#full.add(queue)
      else namespace.crowded.add(queue)
    }
    if (namespace.crowded.size > 0) this.#held.add(namespace)
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
      this.#reconsider(queue)
      const waitedMs = await this.#options.run(fetched.job).finally(() => queue.running--)
      queue.window = nextWindow(queue.window, queue.running + 1, waitedMs)
    } catch (error) {
      queue.fetching = Math.max(0, queue.fetching - 1)
      this.pause(queue.key, FETCH_FAILED_MS)
      this.#options.logger.debug({ queue: queue.key, reason: (error as Error).message }, 'a queue could not be asked')
    } finally {
      this.#taken--
      queue.namespace.taken--
      // One slot more is free: every share grew.
      for (const namespace of this.#held) this.#release(namespace)
      this.#held.clear()
      this.#reconsider(queue)
    }
  }

  #release(namespace: NamespaceQueues): void {
    for (const queue of namespace.crowded) namespace.ring.add(queue)
    namespace.crowded.clear()
    this.#ring.add(namespace)
  }

  #reconsider(queue: QueueState): void {
    this.#full.delete(queue)
    queue.namespace.crowded.delete(queue)
    this.#place(queue)
    this.#pump()
  }

  /** How long until it may be asked, ms. */
  #waitOf(queue: QueueState): number {
    const { clock } = this.#options
    return Math.max(queue.dueAtMs - clock.now(), queue.heldUntilMs - clock.monotonicMs())
  }

  /** One timer, for the earliest time to ask that lies ahead. */
  #armTimer(): void {
    const { clock } = this.#options
    const atMs = this.#asleep.firstAtMs
    if (this.#stopped || atMs >= this.#timerAtMs) return
    this.#cancelTimer()
    this.#timerAtMs = atMs
    this.#cancelTimer = clock.after(Math.min(LONGEST_TIMER_MS, Math.max(1, atMs - clock.monotonicMs())), () => {
      this.#wakeSleepers()
      this.#pump()
    })
  }

  #wakeSleepers(): void {
    this.#timerAtMs = Infinity
    for (const queue of this.#asleep.wake(this.#options.clock.monotonicMs())) this.#place(queue)
    if (this.#asleep.firstAtMs < Infinity) this.#armTimer()
  }
}

function roomOf(queue: QueueState, slots: Slots): 'room' | 'full' | 'crowded' {
  const taken = queue.running + queue.fetching
  if (queue.fetching >= queue.stride || taken >= queue.limit || taken >= Math.floor(queue.window)) return 'full'
  return functionHasRoom(slots, taken) ? 'room' : 'crowded'
}
