// Tells the ends of calls: takes them from the lane's outbox, makes follow-ups of them in Redis, tries each until it is told or
// given up. What a try does is delivery-try.ts's; when the next one is, plan.ts's.
import type { Clock, Logger } from '../../../runtime/api.ts'
import { isoTime } from '../../iso-time.ts'
import type { Registry } from '../../registry/api.ts'
import type { AllowList } from '../../registry/destinations.ts'
import type { RedisStore } from '../../store/connect.ts'
import { type DurableLane, type Finished, QueueError } from '../api.ts'
import { derivedId } from '../derived-id.ts'
import { LookLoop } from '../look-loop.ts'
import { type Lookup, refusedAddress } from './address-filter.ts'
import { DeliveryStore, type StoredDelivery, type StoredSecret } from './delivery-store.ts'
import { tryDelivery } from './delivery-try.ts'
import { type FollowUps, followUpsOf, MAX_CHAIN_DEPTH, retryAfterMs } from './plan.ts'
import type { Callbacks, Delivery, WebhookSecret } from './types.ts'
import { createWebhookSecret } from './webhook-signature.ts'

export interface CallbacksOptions {
  readonly redis: RedisStore
  readonly lane: Pick<DurableLane, 'submit' | 'result' | 'outbox'>
  readonly registry: Pick<Registry, 'resolve'>
  readonly clock: Clock
  readonly logger: Logger
  /** Hosts callbacks may reach besides public ones. */
  readonly allow: AllowList
  /** In [0, 1); spreads retries. Default Math.random. */
  readonly chance?: () => number
  /** Resolves host names. Default: the system's resolver. */
  readonly lookup?: Lookup
}

const AT_ONCE = 16
/** Of these at most so many to one host: a slow receiver holds up nobody else. */
const PER_HOST = 4
const HOST_BUSY_MS = 500
const OUTBOX_PAGE = 100
const LOOK_MS = 5_000
const PREVIOUS_SECRET_MS = 24 * 3_600_000

/** Sends nothing before `start`. Owns a subscription and a timer until `close`, not the connection. */
export function createCallbacks(options: CallbacksOptions): Callbacks {
  return new Deliverer(options)
}

class Deliverer implements Callbacks {
  readonly #options: CallbacksOptions
  readonly #store: DeliveryStore
  readonly #running = new Map<string, Promise<void>>()
  readonly #hosts = new Map<string, number>()
  readonly #leave: (() => void)[] = []
  readonly #stop = new AbortController()
  readonly #loop: LookLoop

  constructor(options: CallbacksOptions) {
    this.#options = options
    this.#store = new DeliveryStore(options.redis)
    this.#loop = new LookLoop({ ...options, what: 'follow-ups', work: () => this.#work() })
  }

  async deliveries(invocation: string): Promise<Delivery[]> {
    const found = await asking(() => this.#store.of(invocation))
    return found.map(({ record: _record, depth: _depth, ...shown }) => shown).sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  async secret(namespace: string): Promise<WebhookSecret> {
    return secretView(await asking(() => this.#secret(namespace)), this.#options.clock.now())
  }

  async rotateSecret(namespace: string): Promise<WebhookSecret> {
    const nowMs = this.#options.clock.now()
    return await asking(async () => {
      const { secret: previous } = await this.#secret(namespace)
      const next = { secret: createWebhookSecret(), previous, previousUntilMs: nowMs + PREVIOUS_SECRET_MS }
      await this.#store.setSecret(namespace, next)
      return secretView(next, nowMs)
    })
  }

  refusal(url: URL): string | null {
    return refusedAddress(url, this.#options.allow)
  }

  start(): void {
    if (this.#loop.closed) return
    const look = (): void => this.#loop.look()
    this.#leave.push(this.#options.lane.outbox.onNews(look), this.#options.redis.onAvailable(look))
    look()
  }

  async close(): Promise<void> {
    for (const leave of this.#leave.splice(0)) leave()
    this.#stop.abort()
    await this.#loop.close()
    await Promise.all(this.#running.values())
  }

  /** Resolves to how long there will be nothing to do. */
  async #work(): Promise<number> {
    const { lane, clock } = this.#options
    const ends = await lane.outbox.list(OUTBOX_PAGE)
    for (const end of ends) {
      await this.#expand(end)
      await lane.outbox.done(end.record.id)
    }
    const free = AT_ONCE - this.#running.size
    if (free <= 0) return LOOK_MS
    for (const delivery of await this.#store.take(clock.now(), free)) await this.#begin(delivery)
    if (ends.length === OUTBOX_PAGE) return 0
    const nextAtMs = await this.#store.nextAtMs()
    return nextAtMs === null ? LOOK_MS : Math.min(LOOK_MS, Math.max(10, nextAtMs - clock.now()))
  }

  /** CONTRACT: ids follow from the call and its end: what a crash leaves half done is completed, not doubled. */
  async #expand({ record, notify }: Finished): Promise<void> {
    const { clock, logger } = this.#options
    const plan = notify as FollowUps
    const endedAtMs = Date.parse(record.endedAt ?? record.createdAt)
    for (const { kind, destination } of followUpsOf(record.state, plan)) {
      const tooDeep = plan.depth >= MAX_CHAIN_DEPTH
      const nowIso = isoTime(clock.now())
      const delivery: StoredDelivery = {
        id: derivedId(endedAtMs, 'follow-up', record.id, kind),
        invocation: record.id,
        kind,
        destination,
        state: tooDeep ? 'failed' : 'pending',
        tries: 0,
        status: null,
        error: tooDeep
          ? `the chain is ${MAX_CHAIN_DEPTH} calls long, which is the most; does it come back to itself?`
          : null,
        createdAt: nowIso,
        nextAt: tooDeep ? null : nowIso,
        endedAt: tooDeep ? nowIso : null,
        record,
        depth: plan.depth + 1,
      }
      if (tooDeep) logger.warn({ invocation: record.id, destination }, 'a chain of calls was ended: it is too long')
      await this.#store.add(delivery, tooDeep ? null : clock.now())
    }
  }

  async #begin(delivery: StoredDelivery): Promise<void> {
    if (this.#loop.closed || this.#running.has(delivery.id)) return
    const host = hostOf(delivery.destination)
    const busy = this.#hosts.get(host) ?? 0
    if (host !== '' && busy >= PER_HOST) {
      const atMs = this.#options.clock.now() + HOST_BUSY_MS
      return await this.#store.put(delivery, atMs)
    }
    this.#hosts.set(host, busy + 1)
    const run = this.#try(delivery).finally(() => {
      this.#running.delete(delivery.id)
      const left = (this.#hosts.get(host) ?? 1) - 1
      if (left === 0) this.#hosts.delete(host)
      else this.#hosts.set(host, left)
      this.#loop.look()
    })
    this.#running.set(delivery.id, run)
  }

  /** Never rejects: what cannot be written down is tried again when its hold runs out. */
  async #try(delivery: StoredDelivery): Promise<void> {
    const { clock, logger, chance = Math.random } = this.#options
    try {
      const { namespace } = delivery.record
      const { secret, previous, previousUntilMs } = await this.#secret(namespace)
      const secrets = previous !== null && previousUntilMs > clock.now() ? [secret, previous] : [secret]
      const outcome = await tryDelivery(delivery, secrets, { ...this.#options, signal: this.#stop.signal })
      if (outcome.kind === 'not-now') return
      if (outcome.kind === 'stopped') return await this.#store.put(delivery, clock.now())
      const nowMs = clock.now()
      const tries = delivery.tries + 1
      const { status, error } = outcome
      const delayMs = outcome.kind === 'failed' ? retryAfterMs(tries, status, outcome.retryAfterMs, chance()) : null
      const state = outcome.kind === 'delivered' ? 'delivered' : delayMs === null ? 'failed' : 'pending'
      const atMs = delayMs === null ? null : nowMs + delayMs
      const ended = state === 'pending' ? null : isoTime(nowMs)
      const nextAt = atMs === null ? null : isoTime(atMs)
      await this.#store.put({ ...delivery, state, tries, status, error, nextAt, endedAt: ended }, atMs)
      if (state === 'failed')
        logger.warn({ invocation: delivery.invocation, destination: delivery.destination, error }, 'a follow-up failed')
    } catch (error) {
      logger.debug({ id: delivery.id, reason: (error as Error).message }, 'a follow-up could not be written down')
    }
  }

  async #secret(namespace: string): Promise<StoredSecret> {
    return await this.#store.secret(namespace, { secret: createWebhookSecret(), previous: null, previousUntilMs: 0 })
  }
}

function secretView({ secret, previous, previousUntilMs }: StoredSecret, nowMs: number): WebhookSecret {
  const still = previous !== null && previousUntilMs > nowMs
  return { secret, previous: still ? previous : null, previousUntil: still ? isoTime(previousUntilMs) : null }
}

/** Empty for functions. */
function hostOf(destination: string): string {
  return URL.canParse(destination) ? new URL(destination).host : ''
}

async function asking<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    const message = `callbacks cannot be reached: ${(error as Error).message}`
    throw new QueueError('QUEUE_UNAVAILABLE', message, { cause: error, retryAfterS: 2 })
  }
}
