// Owns the routes of invocations: records, results, logs, cancel. Synchronous ones are known to the worker, asynchronous ones to
// the durable lane; whoever asks need not know which.
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { InvocationRecord, InvocationState, RecordQuery } from '../../worker/api.ts'
import { QueueError } from '../../worker/queue/api.ts'
import { GatewayError } from '../errors.ts'
import { answerOutcome } from '../invocation/async-calls.ts'
import { isInvocationId } from '../invocation/id.ts'
import { BODY_LIMITS } from '../invocation/invoker.ts'
import { answerJson } from '../json-portions.ts'
import { answerPage, durationOf, namespaceOf, pageOf, sinceOf, textOf, wholeOf, wordOf } from './query.ts'
import type { ControlContext, ControlParts, Route } from './route.ts'

const STATES = [
  'queued',
  'running',
  'succeeded',
  'failed',
  'timed-out',
  'cancelled',
  'expired',
] as const satisfies readonly InvocationState[]
const WAIT_MAX_MS = 60_000

export function invocationRoutes(parts: ControlParts): Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/functions/{name}/invocations',
      id: 'enqueueInvocation',
      summary: 'Queues a call: the function sees POST / with body and content type as sent',
      query: { version: 'a version or alias' },
      body: {
        type: '*/*',
        doc: 'the body the function will see',
        schema: { type: 'string', format: 'binary', maxLength: BODY_LIMITS.async },
      },
      answers: {
        202: { doc: 'on disk; see Location', schema: 'Accepted' },
        503: { doc: 'not accepted', schema: 'Problem' },
      },
      handle: null,
    },
    {
      method: 'GET',
      path: '/v1/invocations',
      id: 'listInvocations',
      summary: 'Records, newest first',
      query: {
        function: 'only of this function',
        state: `one of ${STATES.join(', ')}`,
        since: 'an RFC 3339 time, or a duration back from now',
        limit: 'at most this many',
        after: 'only records older than this id',
      },
      answers: { 200: { doc: 'records', schema: 'Invocation[]' } },
      handle: (context) => listRecords(context, parts),
    },
    {
      method: 'GET',
      path: '/v1/invocations/{id}',
      id: 'getInvocation',
      summary: 'A record; waits for the accounting of one that just ended',
      answers: { 200: { doc: 'the record', schema: 'Invocation' }, 404: { doc: 'unknown', schema: 'Problem' } },
      handle: async (context) => context.json((await recordOf(context, parts)) as never),
    },
    {
      method: 'GET',
      path: '/v1/invocations/{id}/result',
      id: 'getResult',
      summary: 'The response as the function gave it; 202 while there is none',
      query: { wait: 'wait this long for it, at most 60s' },
      answers: {
        200: { doc: "the function's own response, its status included", type: '*/*' },
        202: { doc: 'not yet', schema: 'Invocation' },
        default: { doc: "the function's own response of another status, or a problem", type: '*/*' },
      },
      handle: (context) => answerResult(context, parts),
    },
    {
      method: 'GET',
      path: '/v1/invocations/{id}/logs',
      id: 'getInvocationLogs',
      summary: 'The log lines of one invocation',
      query: { tail: 'only the last so many lines' },
      answers: { 200: { doc: 'lines', schema: 'LogLine[]' } },
      handle: async (context) => {
        const record = await recordOf(context, parts)
        const tail = wholeOf(context, 'tail', 0, 1_000_000)
        const query = { namespace: record.namespace, function: record.function, invocation: record.id }
        return answerJson(context, await parts.worker.logs(tail === null ? query : { ...query, tail }))
      },
    },
    {
      method: 'DELETE',
      path: '/v1/invocations/{id}',
      id: 'cancelInvocation',
      summary: 'Cancels: a queued call is taken out, a running one has its signal aborted and is killed 2 s later',
      answers: {
        200: { doc: 'the record', schema: 'Invocation' },
        409: { doc: 'it ended already', schema: 'Problem' },
      },
      handle: (context) => cancel(context, parts),
    },
  ]
}

function idOf(context: ControlContext): string {
  const id = context.req.param('id') ?? ''
  if (!isInvocationId(id)) throw unknown(id)
  return id
}

function unknown(id: string): QueueError {
  return new QueueError('INVOCATION_NOT_FOUND', `no invocation ${JSON.stringify(id.slice(0, 80))} is known here`)
}

/** The lane first: of an asynchronous call the worker knows attempts alone. It is not asked while Redis is away. */
async function recordOf(context: ControlContext, { worker, lane }: ControlParts): Promise<InvocationRecord> {
  const id = idOf(context)
  const queued = lane?.available() ? await lane.record(id).catch(() => null) : null
  // The worker answers for a call that runs when it has ended.
  const isOver = queued === null || queued.endedAt !== null
  const own = isOver ? await worker.record(id) : null
  // What went wrong after the end of a durable call is known where it ran.
  const late = queued !== null && own?.afterAnswer !== undefined ? { afterAnswer: own.afterAnswer } : {}
  const record = queued === null ? own : { ...queued, ...late }
  if (record === null || !isOwn(context, record)) throw unknown(id)
  return record
}

/** A token of a namespace learns nothing of others', not even that they are there. */
function isOwn(context: ControlContext, record: InvocationRecord): boolean {
  const own = context.env.outgoing.caller?.namespace ?? null
  return own === null || record.namespace === own
}

async function listRecords(context: ControlContext, { worker, fleet, lane, clock }: ControlParts): Promise<Response> {
  const page = pageOf(context)
  const name = textOf(context, 'function')
  const state = wordOf(context, 'state', STATES)
  const sinceMs = sinceOf(context, 'since', clock.now())
  if (page.after !== null && !isInvocationId(page.after))
    throw new GatewayError(
      'BAD_REQUEST',
      `after: expected an invocation id, got ${JSON.stringify(page.after.slice(0, 80))}`,
    )
  const query: RecordQuery = {
    namespace: namespaceOf(context),
    limit: page.limit + 1,
    ...(name === null ? {} : { function: name }),
    ...(state === null ? {} : { state }),
    ...(sinceMs === null ? {} : { sinceMs }),
    ...(page.after === null ? {} : { after: page.after }),
  }
  const found = lane?.available() ? await lane.records(query) : { records: [], next: null }
  const queued = found.records
  const known = new Set(queued.map((record) => record.id))
  // Where the lane's search ended before its time, the next page goes on, for both.
  const isInPage = (record: InvocationRecord) => found.next === null || record.id >= found.next
  const synchronous = fleet ? await fleet.records(query) : worker.records(query)
  const own = synchronous.filter((record) => !known.has(record.id) && isInPage(record))
  // Attempts of an asynchronous call are in the worker's records too, under an id whose record may be in another state than
  // the one asked for.
  const others = state !== null && lane?.available() ? await withoutQueued(own, lane) : own
  const merged = [...queued, ...others].sort((a, b) => (a.id < b.id ? 1 : -1))
  return answerPage(context, merged.slice(0, page.limit + 1), page, (record) => record.id, found.next)
}

async function withoutQueued(
  records: readonly InvocationRecord[],
  lane: NonNullable<ControlParts['lane']>,
): Promise<InvocationRecord[]> {
  const queued = new Set<string>()
  for (const record of records) if ((await lane.record(record.id)) !== null) queued.add(record.id)
  return records.filter((record) => !queued.has(record.id))
}

async function answerResult(context: ControlContext, parts: ControlParts): Promise<Response> {
  const id = idOf(context)
  const waitMs = durationOf(context, 'wait', WAIT_MAX_MS)
  if (isBound(context)) await recordOf(context, parts)
  if (parts.lane === null || (await laneKnows(id, parts.lane)) === false) {
    if ((await parts.worker.record(id)) === null) throw unknown(id)
    throw new GatewayError('RESULT_NOT_FOUND', 'results of synchronous calls are not kept')
  }
  const { pending, record, result } = await parts.lane.result(id, waitMs)
  if (pending) {
    context.header('Retry-After', '1')
    return context.json(record as never, 202)
  }
  const extra = ['Fn-Invocation-Id', id, 'Fn-Version', String(record.version)]
  answerOutcome(context.env.incoming, context.env.outgoing, record, result, extra)
  return RESPONSE_ALREADY_SENT
}

function isBound(context: ControlContext): boolean {
  return (context.env.outgoing.caller?.namespace ?? null) !== null
}

async function laneKnows(id: string, lane: NonNullable<ControlParts['lane']>): Promise<boolean> {
  return (await lane.record(id)) !== null
}

async function cancel(context: ControlContext, parts: ControlParts): Promise<Response> {
  const id = idOf(context)
  if (isBound(context)) await recordOf(context, parts)
  if (parts.lane === null || (await parts.lane.record(id)) === null) {
    if ((await parts.worker.record(id)) === null) throw unknown(id)
    throw new QueueError('NOT_CANCELLABLE', 'a synchronous call ends when its caller leaves')
  }
  return context.json((await parts.lane.cancel(id)) as never)
}
