// What happens on other workers, live: a worker tells the channel while somebody asked it to within the last seconds, so that
// nobody's events cost anything while nobody listens.
//
//   {thaw}:events   channel: {from, event}
import type { Clock } from '../../runtime/api.ts'
import type { PlatformEvent, Worker } from '../api.ts'
import type { RedisStore } from '../store/connect.ts'

const EVENTS = '{thaw}:events'
/** Asked so often, and told for so long after the last time. */
export const ASK_AGAIN_MS = 5_000
const TOLD_MS = 15_000

/** The side that tells. */
export class EventRelay {
  readonly #redis: RedisStore
  readonly #self: string
  readonly #clock: Clock
  readonly #worker: Worker
  #stop: (() => void) | null = null
  #cancel: () => void = () => {}

  constructor(redis: RedisStore, self: string, clock: Clock, worker: Worker) {
    this.#redis = redis
    this.#self = self
    this.#clock = clock
    this.#worker = worker
  }

  /** Somebody listens: from now on, and for a while. */
  tell(): void {
    this.#cancel()
    this.#cancel = this.#clock.after(TOLD_MS, () => this.close())
    this.#stop ??= this.#worker.subscribe((event) => {
      this.#redis.command('PUBLISH', EVENTS, JSON.stringify({ from: this.#self, event })).catch(() => {})
    })
  }

  close(): void {
    this.#cancel()
    this.#stop?.()
    this.#stop = null
  }
}

/** The side that listens; events of `self` are not among them, nor what is no event. The returned function stops. */
export function listenToEvents(redis: RedisStore, self: string, listener: (event: PlatformEvent) => void): () => void {
  return redis.subscribe(EVENTS, (text) => {
    const told = eventIn(text)
    if (told !== null && told.from !== self) listener(told.event)
  })
}

/** null: whoever may write to Redis may publish anything. */
function eventIn(text: string): { readonly from: string; readonly event: PlatformEvent } | null {
  try {
    const { from, event } = JSON.parse(text) as { from: string; event: PlatformEvent }
    return typeof from === 'string' && typeof event?.type === 'string' ? { from, event } : null
  } catch {
    return null
  }
}
