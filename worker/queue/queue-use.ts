// What a namespace's asynchronous calls may take: bytes of those accepted and not ended (`queuedBytes`), bytes of what is kept of those
// that are (`resultBytes`). The counts are Redis's (use-scripts.ts); here are the bounds, the refusals, and what is not in Redis yet:
// bodies that are being received.
import type { Clock } from '../../runtime/api.ts'
import type { InvocationRecord } from '../api.ts'
import type { QuotaExceeded } from '../registry/quota-exceeded.ts'
import type { Quotas } from '../registry/quotas.ts'
import type { DeadEntry, ResultHead } from './call-texts.ts'
import { bodyBytesOf, type Envelope, INLINE_MAX_BYTES } from './envelope.ts'

/** What Redis takes for a call besides its texts, roughly: keys, lists, the index. */
const CALL_BYTES = 1536
const ENDED_BYTES = 512
const FAILED_ATTEMPT_BYTES = 768
/** For so long a refusal also holds for later calls of the same size or more, without asking Redis. */
const FULL_KNOWN_MS = 100
const RETRY_AFTER_S = 2

/** Bytes of an accepted call. `text`: its envelope's. */
export function queuedBytesOf(envelope: Envelope, text: string): number {
  const { body } = envelope
  return CALL_BYTES + Buffer.byteLength(text) + (body.kind === 'file' ? body.bytes : 0)
}

/** Bytes of what is kept of a call that ended, by its texts. */
export function keptBytesOf(
  record: InvocationRecord,
  texts: { readonly record: string; readonly result: string; readonly dead: string },
  result: ResultHead | null,
  dead: DeadEntry | null,
): number {
  const inRedis = Buffer.byteLength(texts.record) + Buffer.byteLength(texts.result) + Buffer.byteLength(texts.dead)
  const body = dead?.envelope?.body.kind === 'file' ? bodyBytesOf(dead.envelope) : 0
  const files = (result?.file ? result.bodyBytes : 0) + body
  return ENDED_BYTES + inRedis + files + Math.max(0, record.attempt - 1) * FAILED_ATTEMPT_BYTES
}

export { ENDED_BYTES }

export class QueueUse {
  readonly #quotas: Quotas | null
  readonly #clock: Clock
  /** Namespaces that were refused of late: how much was queued then. */
  readonly #full = new Map<string, { readonly atMs: number; readonly inUse: number }>()
  /** Bytes of bodies on their way here. */
  readonly #receiving = new Map<string, number>()

  /** `quotas` null: no bounds. */
  constructor(quotas: Quotas | null, clock: Clock) {
    this.#quotas = quotas
    this.#clock = clock
  }

  /** null: no bound. */
  queuedBound(namespace: string): number | null {
    return this.#quotas?.quotaOf(namespace, 'queuedBytes') ?? null
  }

  /** null: no bound. */
  keptBound(namespace: string): number | null {
    return this.#quotas?.quotaOf(namespace, 'resultBytes') ?? null
  }

  /** The largest response that can be kept: one above the whole bound would push out all else. */
  responseBound(namespace: string, most: number): number {
    return Math.min(most, Math.max(INLINE_MAX_BYTES, this.keptBound(namespace) ?? most))
  }

  /** Throws QuotaExceeded when so many bytes more were refused a moment ago. */
  expect(namespace: string, bytes: number): void {
    const full = this.#full.get(namespace)
    if (full === undefined) return
    if (this.#clock.monotonicMs() - full.atMs > FULL_KNOWN_MS) {
      this.#full.delete(namespace)
      return
    }
    const bound = this.queuedBound(namespace)
    if (bound !== null && full.inUse + bytes > bound) throw this.#exceeded(namespace, full.inUse)
  }

  /** Redis refused one: so much is queued. */
  refused(namespace: string, inUse: number): QuotaExceeded {
    this.#full.set(namespace, { atMs: this.#clock.monotonicMs(), inUse })
    return this.#exceeded(namespace, inUse)
  }

  /** One of its calls ended: there is room again. */
  freed(namespace: string): void {
    this.#full.delete(namespace)
  }

  /** A body that is being received: `more` counts what came and throws QuotaExceeded when all that is on its way is above the bound;
   *  `end` when it is stored, or was not. */
  receive(namespace: string): { more(bytes: number): void; end(): void } {
    let taken = 0
    const change = (bytes: number): void => {
      taken += bytes
      const all = (this.#receiving.get(namespace) ?? 0) + bytes
      if (all === 0) this.#receiving.delete(namespace)
      else this.#receiving.set(namespace, all)
    }
    return {
      more: (bytes) => {
        change(bytes)
        const all = this.#receiving.get(namespace) ?? 0
        const bound = this.queuedBound(namespace)
        if (bound !== null && all > bound) throw this.#exceeded(namespace, all)
        this.expect(namespace, all)
      },
      end: () => change(-taken),
    }
  }

  /** Kept calls of a namespace were forgotten for newer ones. */
  forgot(namespace: string, count: number): void {
    this.#quotas?.countRefusal(namespace, 'resultBytes', count)
  }

  #exceeded(namespace: string, inUse: number): QuotaExceeded {
    return this.#quotas!.exceeded(namespace, 'queuedBytes', inUse, RETRY_AFTER_S)
  }
}

/** Reports what namespaces have queued and kept. */
export function reportUse(
  quotas: Quotas | undefined,
  use: { of(namespace: string): Promise<{ readonly queuedBytes: number; readonly keptBytes: number }> },
): void {
  quotas?.report('queuedBytes', async (namespace) => (await use.of(namespace)).queuedBytes)
  quotas?.report('resultBytes', async (namespace) => (await use.of(namespace)).keptBytes)
}
