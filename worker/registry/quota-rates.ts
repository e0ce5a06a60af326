// Rates of namespaces: one token bucket for each namespace and key. Reads the bound at each take, so a change holds at once.
import { type BucketRate, type Clock, TokenBucket } from '../../runtime/api.ts'
import type { QuotaKey } from './quota-table.ts'
import type { Quotas } from './quotas.ts'

/** Buckets kept; beyond them those that are full, as good as new, are forgotten. */
const MOST_BUCKETS = 10_000

interface NamespaceBucket {
  readonly bucket: TokenBucket
  rate: BucketRate
  bound: number
}

export class QuotaRate {
  readonly #quotas: Quotas
  readonly #key: QuotaKey
  readonly #clock: Clock
  readonly #burstS: number
  readonly #buckets = new Map<string, NamespaceBucket>()

  /** `burstS`: so many seconds' worth may be taken at once after a rest. Reports its use (what was taken of late). */
  constructor(quotas: Quotas, key: QuotaKey, clock: Clock, burstS = 1) {
    this.#quotas = quotas
    this.#key = key
    this.#clock = clock
    this.#burstS = burstS
    quotas.report(key, (namespace) => this.inUse(namespace))
  }

  /** Takes `count` of the namespace and gives 0; or takes nothing and gives the ms until it may. Counts no refusal. */
  take(namespace: string, count = 1): number {
    const bound = this.#quotas.boundsOf(namespace)[this.#key]
    if (bound === null) return 0
    const nowMs = this.#clock.monotonicMs()
    const kept = this.#buckets.get(namespace) ?? this.#add(namespace, bound, nowMs)
    if (kept.bound !== bound) this.#change(kept, bound)
    return kept.bucket.take(count, kept.rate, nowMs)
  }

  /** Throws QuotaExceeded with the time until the next may come. */
  expect(namespace: string, count = 1): void {
    const waitMs = this.take(namespace, count)
    if (waitMs === 0) return
    throw this.#quotas.exceeded(namespace, this.#key, this.inUse(namespace), Math.max(1, Math.ceil(waitMs / 1000)))
  }

  /** What was taken of late, at most what the bucket holds. */
  inUse(namespace: string): number {
    const kept = this.#buckets.get(namespace)
    if (kept === undefined) return 0
    return Math.round(kept.rate.capacity - kept.bucket.left(kept.rate, this.#clock.monotonicMs()))
  }

  #add(namespace: string, bound: number, nowMs: number): NamespaceBucket {
    if (this.#buckets.size >= MOST_BUCKETS) this.#forgetFull(nowMs)
    const rate = this.#rateOf(bound)
    const kept = { bucket: new TokenBucket(rate, nowMs), rate, bound }
    this.#buckets.set(namespace, kept)
    return kept
  }

  #change(kept: NamespaceBucket, bound: number): void {
    kept.bound = bound
    kept.rate = this.#rateOf(bound)
  }

  #rateOf(bound: number): BucketRate {
    return { perSecond: bound, capacity: bound * this.#burstS }
  }

  #forgetFull(nowMs: number): void {
    for (const [namespace, { bucket, rate }] of this.#buckets)
      if (bucket.left(rate, nowMs) >= rate.capacity) this.#buckets.delete(namespace)
    // Only namespaces that were made on purpose fill it, each with a call within the time a bucket takes to fill.
    if (this.#buckets.size >= MOST_BUCKETS) this.#buckets.delete(this.#buckets.keys().next().value!)
  }
}
