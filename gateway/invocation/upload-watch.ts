// Owns how long a request's body may take: notices uploads that stand still, that trickle, or that never end. Decides nothing
// about the answer, and does not read the body.
import type { IncomingMessage } from 'node:http'
import type { Clock } from '../../runtime/api.ts'
import { refusalOf } from '../errors.ts'
import { answerProblem } from '../problem.ts'
import type { GatewayResponse } from '../response.ts'

const SWEEP_MS = 5000
/** An upload that makes no progress for this long is given up. */
export const STALL_MS = 30_000
/** After so long, a body that no code reads as it comes must have brought on average so much: else a byte now and then would
 *  hold a connection for days. */
export const GRACE_MS = 20_000
export const FLOOR_BYTES_PER_S = 500

export interface UploadRule {
  /** True while the body may come as slowly as it likes, because somebody reads it as it comes and is bounded himself. */
  readonly mayTrickle?: () => boolean
  /** Highest time for the whole of it, ms. */
  readonly highestMs?: number
}

interface Upload {
  readonly rule: UploadRule
  readonly stalled: () => void
  readonly begunAtBytes: number
  readonly begunAtMs: number
  bytes: number
  since: number
  /** What the body did not come for because nobody read it. */
  unreadMs: number
}

/** Watches uploads. Time spent because we do not read does not count, but for `highestMs`. One timer for all. */
export class UploadWatch {
  readonly #clock: Clock
  readonly #uploads = new Map<IncomingMessage, Upload>()
  #cancel: (() => void) | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Calls `stalled` once when the upload is to be given up; one that ended drops out by itself. */
  add(incoming: IncomingMessage, stalled: () => void, rule: UploadRule = {}): void {
    const bytes = incoming.socket.bytesRead
    const nowMs = this.#clock.monotonicMs()
    const upload = { rule, stalled, begunAtBytes: bytes, begunAtMs: nowMs, bytes, since: nowMs, unreadMs: 0 }
    this.#uploads.set(incoming, upload)
    this.#cancel ??= this.#clock.after(SWEEP_MS, this.#sweep)
  }

  close(): void {
    this.#cancel?.()
    this.#cancel = null
    this.#uploads.clear()
  }

  readonly #sweep = (): void => {
    const nowMs = this.#clock.monotonicMs()
    for (const [incoming, upload] of this.#uploads) {
      if (incoming.complete || incoming.destroyed) this.#uploads.delete(incoming)
      else if (isOver(incoming, upload, nowMs)) {
        this.#uploads.delete(incoming)
        upload.stalled()
      }
    }
    this.#cancel = this.#uploads.size > 0 ? this.#clock.after(SWEEP_MS, this.#sweep) : null
  }
}

function isOver(incoming: IncomingMessage, upload: Upload, nowMs: number): boolean {
  const { rule } = upload
  const lastedMs = nowMs - upload.begunAtMs
  if (lastedMs >= (rule.highestMs ?? Number.POSITIVE_INFINITY)) return true
  const { bytesRead } = incoming.socket
  if (incoming.readableLength > 0) {
    upload.unreadMs += SWEEP_MS
    upload.since = nowMs
    return false
  }
  if (bytesRead !== upload.bytes) {
    upload.bytes = bytesRead
    upload.since = nowMs
  } else if (nowMs - upload.since >= STALL_MS) return true
  const owedMs = lastedMs - upload.unreadMs - GRACE_MS
  return owedMs > 0 && !rule.mayTrickle?.() && (bytesRead - upload.begunAtBytes) * 1000 < owedMs * FLOOR_BYTES_PER_S
}

/** Gives a request up whose body does not come: 408 if nothing was answered yet, else the connection is cut. */
export function giveUpUpload(incoming: IncomingMessage, outgoing: GatewayResponse): void {
  if (outgoing.headersSent || outgoing.destroyed) incoming.destroy()
  else
    answerProblem(incoming, outgoing, refusalOf('REQUEST_TIMEOUT', 'the request body stood still or came too slowly'))
}
