// One try of one follow-up: a signed POST to a URL, or a call of the next function queued under the follow-up's own id.
import type { Clock } from '../../../runtime/api.ts'
import { type Registry, RegistryError } from '../../registry/api.ts'
import { type AllowList, parseDestination } from '../../registry/destinations.ts'
import { QuotaExceeded } from '../../registry/quota-exceeded.ts'
import { type DurableLane, QueueError } from '../api.ts'
import { drawOfId } from '../derived-id.ts'
import { ownSubmission } from '../own-submission.ts'
import { checkTarget, type Lookup, RefusedTarget } from './address-filter.ts'
import type { StoredDelivery } from './delivery-store.ts'
import { EVENT_CONTENT_TYPE, eventOf, readResponse } from './event.ts'
import { sendCallback, TRY_DEADLINE_MS } from './send.ts'
import { webhookSignature } from './webhook-signature.ts'

export interface TryParts {
  readonly lane: Pick<DurableLane, 'submit' | 'result'>
  readonly registry: Pick<Registry, 'resolve'>
  readonly clock: Clock
  readonly allow: AllowList
  readonly lookup?: Lookup
  /** Ends the try. */
  readonly signal: AbortSignal
}

export type TryOutcome =
  | { readonly kind: 'delivered'; readonly status: number | null; readonly error: null }
  | {
      readonly kind: 'failed'
      readonly status: number | null
      readonly error: string
      readonly retryAfterMs: number | null
    }
  /** No try again. */
  | { readonly kind: 'refused'; readonly status: null; readonly error: string }
  /** The platform ended it: it is made again, uncounted. */
  | { readonly kind: 'stopped' }
  /** The platform could not: no try at all. */
  | { readonly kind: 'not-now' }

/** Never rejects for what the destination does; for trouble with Redis it does, or answers `not-now`. */
export async function tryDelivery(
  delivery: StoredDelivery,
  secrets: readonly string[],
  parts: TryParts,
): Promise<TryOutcome> {
  const destination = parseDestination(delivery.destination)
  const body = await bodyOf(delivery, parts)
  if (destination.kind === 'url') return await post(delivery, destination.url, body, secrets, parts)
  return await enqueue(delivery, destination.name, destination.reference, body, parts)
}

async function bodyOf(delivery: StoredDelivery, { lane }: TryParts): Promise<Buffer> {
  const { record } = delivery
  const response = await lane.result(record.id, 0).then(
    ({ result }) => readResponse(record.id, result),
    (error: unknown) => {
      if (error instanceof QueueError && error.code === 'INVOCATION_NOT_FOUND') return null
      throw error
    },
  )
  return eventOf(delivery.id, record, response, delivery.depth)
}

async function post(
  delivery: StoredDelivery,
  url: URL,
  body: Buffer,
  secrets: readonly string[],
  parts: TryParts,
): Promise<TryOutcome> {
  const timestampS = Math.floor(parts.clock.now() / 1_000)
  const ending = new AbortController()
  const end = (reason: string): void => ending.abort(new Error(reason))
  const stop = (): void => end('the platform is stopping')
  parts.signal.addEventListener('abort', stop)
  const cancel = parts.clock.after(TRY_DEADLINE_MS, () => end(`no answer within ${TRY_DEADLINE_MS / 1_000} s`))
  if (parts.signal.aborted) stop()
  try {
    // When the signal aborts, the resolver is not waited for.
    const checking = checkTarget(url, parts.allow, ending.signal, parts.lookup)
    const to = await Promise.race([checking, abortOf(ending.signal)])
    const { status, retryAfterMs } = await sendCallback(
      url,
      to,
      {
        'content-type': EVENT_CONTENT_TYPE,
        'user-agent': 'Thaw',
        'webhook-id': delivery.id,
        'webhook-timestamp': String(timestampS),
        'webhook-signature': webhookSignature(secrets, delivery.id, timestampS, body),
        'fn-chain-depth': String(delivery.depth),
      },
      body,
      ending.signal,
    )
    if (status >= 200 && status < 300) return { kind: 'delivered', status, error: null }
    return { kind: 'failed', status, error: `the receiver answered ${status}`, retryAfterMs }
  } catch (error) {
    if (error instanceof RefusedTarget) return { kind: 'refused', status: null, error: error.message }
    if (parts.signal.aborted) return { kind: 'stopped' }
    return { kind: 'failed', status: null, error: (error as Error).message, retryAfterMs: null }
  } finally {
    cancel()
    parts.signal.removeEventListener('abort', stop)
  }
}

/** Rejects with the reason. */
function abortOf(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = (): void => reject(signal.reason as Error)
    if (signal.aborted) fail()
    else signal.addEventListener('abort', fail, { once: true })
  })
}

async function enqueue(
  delivery: StoredDelivery,
  name: string,
  reference: string | null,
  body: Buffer,
  { lane, registry }: TryParts,
): Promise<TryOutcome> {
  const { id, depth, record } = delivery
  try {
    const version = registry.resolve(record.namespace, name, reference, drawOfId(id))
    const headers = ['Host', `${name}.localhost`, 'Content-Type', EVENT_CONTENT_TYPE]
    headers.push('Content-Length', String(body.length), 'Fn-Chain-Depth', String(depth))
    const call = { id, version, method: 'POST', target: '/', headers, body, caller: 'chain' }
    await lane.submit(ownSubmission(call, depth))
    return { kind: 'delivered', status: 202, error: null }
  } catch (error) {
    if (error instanceof RegistryError)
      return { kind: 'failed', status: null, error: error.message, retryAfterMs: null }
    if (error instanceof QueueError || error instanceof QuotaExceeded) return { kind: 'not-now' }
    throw error
  }
}
