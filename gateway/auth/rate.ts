// Owns the rates of tokens: a bucket each, full at first, refilled evenly. One process's own: several gateways each allow as much.
import { type Clock, TokenBucket } from '../../runtime/api.ts'
import { GatewayError } from '../errors.ts'
import type { Caller } from './token.ts'

const MOST_BUCKETS = 10_000

export class TokenRates {
  readonly #clock: Clock
  readonly #buckets = new Map<string, TokenBucket>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Counts a call. Throws GatewayError RATE_LIMITED with the time until the next may come. */
  take(caller: Caller): void {
    if (caller.rate === null) return
    const { count, windowMs } = caller.rate
    const rate = { perSecond: (count * 1000) / windowMs, capacity: count }
    const nowMs = this.#clock.monotonicMs()
    let bucket = this.#buckets.get(caller.id)
    if (bucket === undefined) {
      if (this.#buckets.size >= MOST_BUCKETS) this.#buckets.clear()
      bucket = new TokenBucket(rate, nowMs)
      this.#buckets.set(caller.id, bucket)
    }
    const waitMs = bucket.take(1, rate, nowMs)
    if (waitMs === 0) return
    const waitS = Math.max(1, Math.ceil(waitMs / 1000))
    const message = `the token ${caller.name} may call ${count} times in ${windowMs / 1000} s`
    throw new GatewayError('RATE_LIMITED', message, { headers: ['Retry-After', String(waitS)] })
  }
}
