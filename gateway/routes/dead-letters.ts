// Owns the routes of a function's queue: its dead letters, and whether it is paused. What they mean is the durable lane's.
import { z } from 'zod'
import { type DurableLane, QueueError } from '../../worker/queue/api.ts'
import { GatewayError } from '../errors.ts'
import { isInvocationId } from '../invocation/id.ts'
import { answerPage, bodySchema, functionOf, pageOf, parseBody, readJson } from './query.ts'
import type { ControlContext, ControlParts, Route } from './route.ts'

const LETTERS = '/v1/functions/{name}/dead-letters'
const LETTER = `${LETTERS}/{id}`
const gone = { doc: 'no such dead letter', schema: 'Problem' }

export function deadLetterRoutes(parts: ControlParts): Route[] {
  return [
    {
      method: 'GET',
      path: LETTERS,
      id: 'listDeadLetters',
      summary: 'Calls of a function that failed for good, newest first, each with every attempt',
      query: { limit: 'at most this many', after: 'only those older than this id' },
      answers: { 200: { doc: 'dead letters', schema: 'DeadLetter[]' } },
      handle: (context) => list(context, parts),
    },
    {
      method: 'GET',
      path: LETTER,
      id: 'getDeadLetter',
      summary: 'One dead letter: every attempt with its error, times and metering',
      answers: { 200: { doc: 'the dead letter', schema: 'DeadLetter' }, 404: gone },
      handle: async (context) => {
        const { namespace, name } = functionOf(context, parts)
        return context.json((await laneOf(parts).deadLetters.show(namespace, name, idOf(context))) as never)
      },
    },
    {
      method: 'POST',
      path: `${LETTER}/redrive`,
      id: 'redriveDeadLetter',
      summary: 'Queues it again under the same id, attempts counted on, age counted anew',
      answers: { 200: { doc: 'the record, queued', schema: 'Invocation' }, 404: gone },
      handle: async (context) => {
        const { namespace, name } = functionOf(context, parts)
        return context.json((await laneOf(parts).deadLetters.redrive(namespace, name, idOf(context))) as never)
      },
    },
    {
      method: 'POST',
      path: `${LETTERS}/redrive`,
      id: 'redriveDeadLetters',
      summary: 'Queues all of them again',
      answers: { 200: { doc: 'how many', schema: 'Count' } },
      handle: async (context) => {
        const { namespace, name } = functionOf(context, parts)
        return context.json({ count: await laneOf(parts).deadLetters.redriveAll(namespace, name) })
      },
    },
    {
      method: 'DELETE',
      path: LETTERS,
      id: 'purgeDeadLetters',
      summary: 'Forgets all of them; their records stay as long as results do',
      answers: { 200: { doc: 'how many', schema: 'Count' } },
      handle: async (context) => {
        const { namespace, name } = functionOf(context, parts)
        return context.json({ count: await laneOf(parts).deadLetters.purge(namespace, name) })
      },
    },
    {
      method: 'DELETE',
      path: LETTER,
      id: 'removeDeadLetter',
      summary: 'Forgets one',
      answers: { 204: { doc: 'gone' }, 404: gone },
      handle: async (context) => {
        const { namespace, name } = functionOf(context, parts)
        await laneOf(parts).deadLetters.purge(namespace, name, idOf(context))
        return context.body(null, 204)
      },
    },
    {
      method: 'PUT',
      path: '/v1/functions/{name}/state',
      id: 'setFunctionState',
      summary: 'Pauses or resumes a queue: calls go on being accepted, none begins; synchronous calls are not held up',
      body: { type: 'application/json', doc: '{"paused": true}', schema: bodySchema(StateBody) },
      answers: {
        200: { doc: 'what the queue holds', schema: 'QueueState' },
        400: { doc: 'not valid', schema: 'Problem' },
      },
      handle: (context) => setState(context, parts),
    },
  ]
}

const StateBody = z.strictObject({ paused: z.boolean() })

async function setState(context: ControlContext, parts: ControlParts): Promise<Response> {
  const { namespace, name } = functionOf(context, parts)
  const { paused } = parseBody(StateBody, await readJson(context.env.incoming), '{"paused": true} or {"paused": false}')
  const lane = laneOf(parts)
  await lane.pauseFunction(namespace, name, paused)
  return context.json((await lane.queueState(namespace, name)) as never)
}

async function list(context: ControlContext, parts: ControlParts): Promise<Response> {
  const { namespace, name } = functionOf(context, parts)
  const page = pageOf(context)
  if (page.after !== null && !isInvocationId(page.after))
    throw new GatewayError(
      'BAD_REQUEST',
      `after: expected an invocation id, got ${JSON.stringify(page.after.slice(0, 80))}`,
    )
  const asked = { limit: page.limit + 1, ...(page.after === null ? {} : { after: page.after }) }
  const letters = await laneOf(parts).deadLetters.list(namespace, name, asked)
  return answerPage(context, letters, page, (letter) => letter.id)
}

function laneOf({ lane }: ControlParts): DurableLane {
  if (lane !== null) return lane
  throw new QueueError('QUEUE_UNAVAILABLE', 'this platform has no durable lane')
}

function idOf(context: ControlContext): string {
  const id = context.req.param('id') ?? ''
  if (isInvocationId(id)) return id
  throw new QueueError('DEAD_LETTER_NOT_FOUND', `no dead letter ${JSON.stringify(id.slice(0, 80))}`)
}
