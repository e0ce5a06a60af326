// Tells the ends of calls: takes them from the lane's outbox, makes follow-ups of them in Redis, tries each until it is told or
// given up. What a try does is delivery-try.ts's; when the next one is, plan.ts's; how many of a namespace at once, delivery-turns.ts's.
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
import { DeliveryTurns } from './delivery-turns.ts'
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
  /** Resolves host names. Default: /etc/hosts and the system's name servers. */
  readonly lookup?: Lookup
  /** Under way at once of a namespace; null: no bound but its share. Default null. */
  readonly atOnce?: (namespace: string) => number | null
  /** Called for follow-ups that are not sent because too many of the namespace wait. */
  readonly refused?: (namespace: string) => void
}

const HOST_BUSY_MS = 500
/** Sent to URLs, of a namespace, that wait for their next try: what a receiver that is away for long can pile up. */
const MOST_PENDING = 50_000
/** Namespaces looked at, those first whose time came first. More than can be at their bound. */
const NAMESPACES = 500
const OUTBOX_PAGE = 100
const LOOK_MS = 5_000
/** The platform could not try it: no try at all, and soon again. */
const NOT_NOW_MS = 2_000
/** Shorter than the time a follow-up is held by the process that tries it. */
const WRITE_MS = 15_000
const WRITE_AGAIN_MS = 500
const PREVIOUS_SECRET_MS = 24 * 3_600_000

/** Sends nothing before `start`. Owns a subscription and a timer until `close`, not the connection. */
export function createCallbacks(options: CallbacksOptions): Callbacks {
  return new Deliverer(options)
}

class Deliverer implements Callbacks {
  readonly #options: CallbacksOptions
  readonly #store: DeliveryStore
  readonly #running = new Map<string, Promise<void>>()
  readonly #turns: DeliveryTurns
  #isDivided = false
  readonly #leave: (() => void)[] = []
  readonly #stop = new AbortController()
  readonly #loop: LookLoop

  constructor(options: CallbacksOptions) {
    this.#options = options
    this.#store = new DeliveryStore(options.redis)
    this.#turns = new DeliveryTurns(options.atOnce ?? (() => null))
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

  underWay(namespace: string): number {
    return this.#turns.of(namespace)
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
    if (!this.#isDivided) await this.#store.divide()
    this.#isDivided = true
    const ends = await lane.outbox.list(OUTBOX_PAGE)
    await Promise.all(
      ends.map(async (end) => {
        await this.#expand(end)
        await lane.outbox.done(end.record.id)
      }),
    )
    for (;;) {
      const nowMs = clock.now()
      const times = await this.#store.firstTimes(NAMESPACES)
      const open = times.filter(({ namespace }) => this.#turns.room(namespace) > 0)
      const due = open.filter(({ atMs }) => atMs <= nowMs)
      if (due.length > 0 && (await this.#takeOf(due.map(({ namespace }) => namespace)))) continue
      if (ends.length === OUTBOX_PAGE) return 0
      // Those at their bound go on when one of theirs is over.
      const next = open.find(({ atMs }) => atMs > nowMs)
      return next === undefined ? LOOK_MS : Math.min(LOOK_MS, Math.max(10, next.atMs - nowMs))
    }
  }

  /** A share for each of them, those with the fewest under way first. False: none had any. */
  async #takeOf(namespaces: readonly string[]): Promise<boolean> {
    const inTurn = [...namespaces].sort((one, other) => this.#turns.of(one) - this.#turns.of(other))
    let isAny = false
    for (const namespace of inTurn) {
      if (this.#loop.closed) return false
      const room = this.#turns.room(namespace)
      if (room === 0) continue
      const most = Math.max(1, Math.floor(room / inTurn.length))
      const taken = await this.#store.take(namespace, this.#options.clock.now(), most)
      for (const delivery of taken) await this.#begin(delivery)
      if (taken.length > 0) isAny = true
    }
    return isAny
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
      const most = hostOf(destination) === '' ? Number.MAX_SAFE_INTEGER : MOST_PENDING
      const added = await this.#store.add(delivery, tooDeep ? null : clock.now(), most)
      if (added === 'full') await this.#giveUp(delivery)
    }
  }

  /** Too many of the namespace wait already: it is said, and not sent. */
  async #giveUp(delivery: StoredDelivery): Promise<void> {
    const { clock, logger, refused } = this.#options
    const { namespace } = delivery.record
    const error = `namespace ${namespace} has ${MOST_PENDING} follow-ups that wait, which is the most`
    const given = { ...delivery, state: 'failed' as const, error, nextAt: null, endedAt: isoTime(clock.now()) }
    await this.#store.add(given, null, MOST_PENDING)
    refused?.(namespace)
    logger.debug({ invocation: delivery.invocation, namespace }, 'a follow-up is not sent: too many wait')
  }

  async #begin(delivery: StoredDelivery): Promise<void> {
    if (this.#loop.closed || this.#running.has(delivery.id)) return
    const over = this.#turns.begin(delivery.record.namespace, hostOf(delivery.destination))
    if (over === null) return await this.#store.put(delivery, this.#options.clock.now() + HOST_BUSY_MS)
    const run = this.#try(delivery).finally(() => {
      this.#running.delete(delivery.id)
      over()
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
      if (outcome.kind === 'not-now') return await this.#write(delivery, clock.now() + NOT_NOW_MS)
      if (outcome.kind === 'stopped') return await this.#store.put(delivery, clock.now())
      const nowMs = clock.now()
      const tries = delivery.tries + 1
      const { status, error } = outcome
      const delayMs = outcome.kind === 'failed' ? retryAfterMs(tries, status, outcome.retryAfterMs, chance()) : null
      const state = outcome.kind === 'delivered' ? 'delivered' : delayMs === null ? 'failed' : 'pending'
      const atMs = delayMs === null ? null : nowMs + delayMs
      const ended = state === 'pending' ? null : isoTime(nowMs)
      const nextAt = atMs === null ? null : isoTime(atMs)
      await this.#write({ ...delivery, state, tries, status, error, nextAt, endedAt: ended }, atMs)
      if (state === 'failed')
        logger.warn({ invocation: delivery.invocation, destination: delivery.destination, error }, 'a follow-up failed')
    } catch (error) {
      logger.debug({ id: delivery.id, reason: (error as Error).message }, 'a follow-up could not be tried')
      await this.#write(delivery, clock.now() + NOT_NOW_MS)
    }
  }

  /** Writes what became of it, until Redis took it or another process may try it. Never rejects. */
  async #write(delivery: StoredDelivery, atMs: number | null): Promise<void> {
    const { clock, logger } = this.#options
    for (const endMs = clock.monotonicMs() + WRITE_MS; !this.#loop.closed; ) {
      try {
        return await this.#store.put(delivery, atMs)
      } catch (error) {
        const reason = (error as Error).message
        if (clock.monotonicMs() > endMs) return logger.debug({ id: delivery.id, reason }, 'a follow-up was not written')
        await new Promise<void>((resolve) => clock.after(WRITE_AGAIN_MS, resolve))
      }
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
