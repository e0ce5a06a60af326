// Owns calls that go down the durable lane: accepted with 202 (`accept`), or awaited (`dispatch`, `Fn-Dispatch: durable`).
// Never answers 202 before the lane promised.
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type { Logger } from '../../runtime/api.ts'
import type { InvocationRecord } from '../../worker/api.ts'
import { type DurableLane, planFollowUps, QueueError, type StoredResult } from '../../worker/queue/api.ts'
import { GatewayError, type Refusal, refusalOf, refusalOfError, refusalOfFailure } from '../errors.ts'
import { expectLength, headerSchema } from '../input-bounds.ts'
import { answerProblem } from '../problem.ts'
import type { GatewayResponse } from '../response.ts'
import type { Call } from './call.ts'

import { filterResponseHeaders, pushTiming } from './response-headers.ts'
import { addMetering, SLOW_READER_MS } from './response-sink.ts'

const WAIT_MS = 30_000

export class AsyncCalls {
  readonly #lane: DurableLane | null
  readonly #logger: Logger

  constructor(lane: DurableLane | null, logger: Logger) {
    this.#lane = lane
    this.#logger = logger
  }

  /** Submits and answers 202 with the `Location` of the record. Never rejects. */
  async accept(call: Call, body: Buffer | Readable | null): Promise<void> {
    const { incoming, outgoing, sink } = call
    try {
      const { id, durability } = await this.#submit(call, body)
      if (outgoing.destroyed) return
      const location = `/v1/invocations/${id}`
      const state = Buffer.from(`{"id":"${id}","state":"queued","location":"${location}"}`, 'latin1')
      const headers = ['Location', location, 'Content-Type', 'application/json']
      headers.push('Content-Length', String(state.length), 'Fn-Durability', durability)
      if (call.headers.prefer !== null) headers.push('Preference-Applied', 'respond-async')
      headers.push('Fn-Invocation-Id', id, 'Fn-Version', String(call.version.version))
      outgoing.writeHead(202, headers)
      if (incoming.method === 'HEAD') outgoing.end()
      else outgoing.endWhole(state)
      sink.detach()
    } catch (error) {
      this.#refuse(call, error)
    }
  }

  /** Submits, waits for the end and answers as the function did. A caller that leaves loses the answer, not the call. Never rejects. */
  async dispatch(call: Call, body: Buffer | Readable | null): Promise<void> {
    const { incoming, outgoing, sink } = call
    try {
      const { id, durability } = await this.#submit(call, body)
      let outcome = await this.#lane!.result(id, WAIT_MS)
      while (outcome.pending && !outgoing.destroyed) outcome = await this.#lane!.result(id, WAIT_MS)
      if (outgoing.destroyed) return
      sink.detach()
      const extra = ['Fn-Durability', durability, 'Fn-Invocation-Id', id]
      extra.push('Fn-Version', String(outcome.record.version))
      const { record, result } = outcome
      const told = { wantsTrailer: call.options.wantsMetering, tellsFaults: sink.tellsFaults }
      answerOutcome(incoming, outgoing, record, result, extra, told)
    } catch (error) {
      this.#refuse(call, error)
    }
  }

  async #submit(call: Call, body: Buffer | Readable | null): ReturnType<DurableLane['submit']> {
    if (this.#lane === null) throw new QueueError('QUEUE_UNAVAILABLE', 'this platform has no durable lane')
    const { options, headers } = call
    if (headers.idempotencyKey === '')
      throw new GatewayError(
        'BAD_REQUEST',
        'Idempotency-Key: expected a key, got nothing; leave the header out for a call of its own',
      )
    if (headers.idempotencyKey !== null)
      expectLength('Idempotency-Key', headerSchema('Idempotency-Key'), headers.idempotencyKey)
    return await this.#lane.submit({
      id: call.id,
      version: call.version,
      method: call.method,
      target: call.target,
      headers: headers.headers,
      body,
      limits: options.limits,
      timeoutMs: options.timeoutMs,
      traceparent: headers.traceparent,
      delayMs: options.delayMs,
      priority: options.priority,
      maxAttempts: options.maxAttempts,
      maxAgeMs: options.maxAgeMs,
      idempotencyKey: headers.idempotencyKey,
      caller: call.caller,
      notify: planFollowUps(call.version.config, options.callback, options.chainDepth),
    })
  }

  #refuse(call: Call, error: unknown): void {
    const { sink } = call
    const refusal = sink.bodyRefusal ?? refusalOfError(error, call.id)
    if (refusal.problem.code === 'INTERNAL')
      this.#logger.error({ err: error, invocation: call.id }, 'asynchronous call failed')
    sink.refuse(refusal)
  }
}

/** Why an ended invocation has no response of its function. */
function refusalOfRecord(record: InvocationRecord, tellsFaults: boolean): Refusal {
  if (record.error !== null) return refusalOfFailure(record.error, record.id, tellsFaults)
  const more = { invocationId: record.id }
  if (record.state === 'cancelled') return refusalOf('CANCELLED', 'the invocation was cancelled', more)
  if (record.state === 'expired')
    return refusalOf('INVOCATION_EXPIRED', 'the invocation was older than its maximum age', more)
  return refusalOf('RESULT_NOT_FOUND', 'no result is kept for this invocation', more)
}

/** Answers with a stored response as the function gave it, or with the problem that took its place. `wantsTrailer`: followed by
 *  what the call used; `tellsFaults`: the caller may know what went wrong. */
export function answerOutcome(
  incoming: IncomingMessage,
  outgoing: GatewayResponse,
  record: InvocationRecord,
  result: StoredResult | null,
  extra: string[],
  {
    wantsTrailer = false,
    tellsFaults = true,
  }: { readonly wantsTrailer?: boolean; readonly tellsFaults?: boolean } = {},
): void {
  pushTiming(extra, record.start, record)
  if (result === null) {
    answerProblem(incoming, outgoing, refusalOfRecord(record, tellsFaults), extra)
    return
  }
  const { headers } = filterResponseHeaders(result.headers)
  const hasBody = result.status !== 204 && result.status !== 304
  // Trailers need the chunked coding, which HTTP/1.0 has not.
  const metering =
    wantsTrailer && hasBody && incoming.method !== 'HEAD' && incoming.httpVersionMinor > 0 ? record.metering : null
  if (metering !== null) headers.push('Trailer', 'Fn-Metering')
  else if (hasBody) headers.push('Content-Length', String(result.bodyBytes))
  headers.push(...extra)
  outgoing.writeHead(result.status, headers)
  if (metering !== null) addMetering(outgoing, metering)
  if (!hasBody || incoming.method === 'HEAD') {
    if (!Buffer.isBuffer(result.body)) result.body.destroy()
    outgoing.end()
  } else if (Buffer.isBuffer(result.body)) outgoing.end(result.body)
  else streamOut(result.body, outgoing)
}

function streamOut(body: Readable, outgoing: GatewayResponse): void {
  // Nothing but a slow reader can hold a stored result up.
  outgoing.socket?.setTimeout(SLOW_READER_MS)
  body.on('error', () => outgoing.destroy())
  outgoing.on('close', () => body.destroy())
  body.pipe(outgoing)
}
