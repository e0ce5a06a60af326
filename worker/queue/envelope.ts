// What one accepted call carries through the queue: all that its attempts need, whatever happens to the registry meanwhile. Pure.
import type { Limits } from '../../runtime/api.ts'
import type { FunctionVersion } from '../api.ts'
import type { Submission } from './api.ts'
import { RETRY_DEFAULTS } from './retry-policy.ts'
import { readVersion, versionText } from './version-text.ts'

/** Bodies up to this lie in the envelope (and results in Redis); larger ones are files. */
export const INLINE_MAX_BYTES = 64 * 1024

export type EnvelopeBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'inline'; readonly base64: string }
  /** `<state>/bodies/<id>`, of the process `holder` where several share a Redis. */
  | {
      readonly kind: 'file'
      readonly bytes: number
      readonly holder?: string
      /** SHA-256, hex. */
      readonly sha256?: string
    }

export interface Envelope {
  readonly id: string
  readonly version: FunctionVersion
  readonly method: string
  readonly target: string
  readonly headers: readonly string[]
  readonly body: EnvelopeBody
  readonly limits: Partial<Limits>
  readonly timeoutMs: number | null
  readonly traceparent: string | null
  readonly acceptedAtMs: number
  /** Not to run before; acceptance plus the delay asked for. */
  readonly notBeforeMs: number
  /** No attempt begins after. The maximum age counts from `notBeforeMs`. */
  readonly expiresAtMs: number
  readonly maxAttempts: number
  readonly priority: number
  /** Attempts before a redrive; 0 or absent: none. */
  readonly earlierAttempts?: number
  /** What the outbox is to say at the end; absent: nothing. */
  readonly notify?: unknown
  /** Somebody holds a connection open for the answer (`Submission.awaited`). */
  readonly awaited?: true
}

export function makeEnvelope(id: string, submission: Submission, body: EnvelopeBody, nowMs: number): Envelope {
  const { version, method, target, headers, limits, timeoutMs, traceparent, priority } = submission
  const notBeforeMs = nowMs + Math.max(0, submission.delayMs)
  return {
    id,
    version,
    method,
    target,
    headers,
    body,
    limits,
    timeoutMs,
    traceparent,
    acceptedAtMs: nowMs,
    notBeforeMs,
    expiresAtMs: notBeforeMs + (submission.maxAgeMs ?? version.config.retry?.maxAgeMs ?? RETRY_DEFAULTS.maxAgeMs),
    maxAttempts: submission.awaited ? 1 : Math.max(1, submission.maxAttempts ?? version.config.retryAttempts),
    priority,
    ...(submission.awaited ? { awaited: true as const } : {}),
    ...(submission.notify === undefined || submission.notify === null ? {} : { notify: submission.notify }),
  }
}

/** As JSON, the version by its own rule. */
export function envelopeText(envelope: Envelope): string {
  const { version, ...own } = envelope
  return `{"version":${versionText(version)},${JSON.stringify(own).slice(1)}`
}

/** What `envelopeText` was given, from its parsed form. */
export function readEnvelope(parsed: unknown): Envelope {
  const { version, ...own } = parsed as Envelope
  return { version: readVersion(version), ...own }
}

/** The same call once more, due now, its age counted anew. */
export function redrivenEnvelope(envelope: Envelope, earlierAttempts: number, nowMs: number): Envelope {
  const maxAgeMs = envelope.expiresAtMs - envelope.notBeforeMs
  return { ...envelope, notBeforeMs: nowMs, expiresAtMs: nowMs + maxAgeMs, earlierAttempts }
}

export function bodyBytesOf({ body }: Envelope): number {
  return body.kind === 'none' ? 0 : body.kind === 'file' ? body.bytes : Buffer.byteLength(body.base64, 'base64')
}

/** A queue is one function's: its namespace and name; calls that somebody waits for have one of their own beside it. */
export function queueKeyOf(
  version: { readonly namespace: string; readonly name: string },
  awaited: boolean | undefined = false,
): string {
  return `${version.namespace}/${version.name}${awaited ? '~' : ''}`
}

/** The function whose queue it is. */
export function functionKeyOf(queueKey: string): string {
  return queueKey.endsWith('~') ? queueKey.slice(0, -1) : queueKey
}
