// Owns the rates of tokens: a bucket each, full at first, refilled evenly. One process's own: several gateways each allow as much.
import type { Clock } from '../../runtime/api.ts'
import { GatewayError } from '../errors.ts'
import type { Caller } from './token.ts'

interface Bucket {
  left: number
  atMs: number
}

const MOST_BUCKETS = 10_000

export class TokenRates {
  readonly #clock: Clock
  readonly #buckets = new Map<string, Bucket>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Counts a call. Throws GatewayError RATE_LIMITED with the time until the next may come. */
  take(caller: Caller): void {
    if (caller.rate === null) return
    const { count, windowMs } = caller.rate
    const nowMs = this.#clock.monotonicMs()
    const bucket = this.#buckets.get(caller.id) ?? { left: count, atMs: nowMs }
    bucket.left = Math.min(count, bucket.left + ((nowMs - bucket.atMs) * count) / windowMs)
    bucket.atMs = nowMs
    if (!this.#buckets.has(caller.id) && this.#buckets.size >= MOST_BUCKETS) this.#buckets.clear()
    this.#buckets.set(caller.id, bucket)
    if (bucket.left >= 1) {
      bucket.left--
      return
    }
    const waitS = Math.max(1, Math.ceil(((1 - bucket.left) * windowMs) / count / 1000))
    const message = `the token ${caller.name} may call ${count} times in ${windowMs / 1000} s`
    throw new GatewayError('RATE_LIMITED', message, { headers: ['Retry-After', String(waitS)] })
  }
}
