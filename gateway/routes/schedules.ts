// Owns the routes of schedules: set, show, list, remove. When they fire and what they queue is the durable lane's.
import { z } from 'zod'
import { QueueError, type Schedule, type Schedules } from '../../worker/queue/api.ts'
import { MOST_JSON_DEPTH } from '../../worker/registry/bounded-json.ts'
import { DOCUMENT_BYTES } from '../control-gate.ts'
import { GatewayError } from '../errors.ts'
import { answerByName, bodySchema, functionOf, pageIn, readJson } from './query.ts'
import type { ControlContext, ControlParts, Route } from './route.ts'

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const
const MAX_PATH = 2_048
/** How many of its next times a schedule is shown with. */
const NEXT_SHOWN = 3

const Body = z.strictObject({
  cron: z.string().max(256),
  timeZone: z.string().max(64).default('UTC'),
  payload: z.unknown().optional().meta({ 'x-maxBytes': DOCUMENT_BYTES, 'x-maxDepth': MOST_JSON_DEPTH }),
  contentType: z
    .string()
    .max(256)
    .regex(/^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(\s*;[\x20-\x7e]*)?$/, 'expected a media type such as text/plain')
    .optional(),
  method: z.enum(METHODS).default('POST'),
  path: z
    .string()
    .max(MAX_PATH)
    .regex(/^\/[\x21-\x22\x24-\x7e]*$/, 'expected a path such as /nightly?full=1')
    .default('/'),
  missed: z.enum(['run-once', 'skip']).default('run-once'),
  paused: z.boolean().default(false),
})

export function scheduleRoutes(parts: ControlParts): Route[] {
  const path = '/v1/functions/{name}/schedules/{schedule}'
  return [
    {
      method: 'GET',
      path: '/v1/functions/{name}/schedules',
      id: 'listSchedules',
      summary: 'The schedules of a function, by name',
      query: { limit: 'at most this many', after: 'only names after this one' },
      answers: { 200: { doc: 'schedules', schema: 'Schedule[]' } },
      handle: (context) => list(context, parts),
    },
    {
      method: 'GET',
      path,
      id: 'getSchedule',
      summary: 'A schedule with its next times and its last one',
      answers: { 200: { doc: 'the schedule', schema: 'Schedule' }, 404: { doc: 'unknown', schema: 'Problem' } },
      handle: async (context) => {
        const { namespace, name, schedule } = namesOf(context, parts)
        const keeper = keeperOf(parts)
        return context.json(view(await keeper.get(namespace, name, schedule), keeper) as never)
      },
    },
    {
      method: 'PUT',
      path,
      id: 'setSchedule',
      summary: 'Calls the function at the times of a cron expression in a time zone; the version is resolved each time',
      body: {
        type: 'application/json',
        schema: bodySchema(Body),
        doc: '{"cron": "0 3 * * *", "timeZone": "Europe/Zurich", "payload": …, "contentType": …, "method": "POST", "path": "/", "missed": "run-once" or "skip", "paused": false}',
      },
      answers: {
        201: { doc: 'made', schema: 'Schedule' },
        200: { doc: 'replaced', schema: 'Schedule' },
        400: { doc: 'not valid', schema: 'Problem' },
      },
      handle: (context) => set(context, parts),
    },
    {
      method: 'DELETE',
      path,
      id: 'removeSchedule',
      summary: 'Removes a schedule; calls it queued already stay',
      answers: { 204: { doc: 'gone' }, 404: { doc: 'unknown', schema: 'Problem' } },
      handle: async (context) => {
        const { namespace, name, schedule } = namesOf(context, parts)
        await keeperOf(parts).remove(namespace, name, schedule)
        return context.body(null, 204)
      },
    },
  ]
}

async function list(context: ControlContext, parts: ControlParts): Promise<Response> {
  const { namespace, name } = namesOf(context, parts)
  const keeper = keeperOf(parts)
  return await answerByName(context, pageIn(await keeper.list(namespace, name)), (one) => view(one, keeper))
}

async function set(context: ControlContext, parts: ControlParts): Promise<Response> {
  const { namespace, name, schedule } = namesOf(context, parts)
  const parsed = Body.safeParse(await readJson(context.env.incoming))
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'the body'}: ${issue.message}`)
    throw new GatewayError('BAD_REQUEST', `the schedule is not valid: ${problems.join('; ')}`, { cause: parsed.error })
  }
  const { contentType, payload, ...rest } = parsed.data
  const keeper = keeperOf(parts)
  const spec = { ...rest, contentType: contentType ?? null, payload: payload ?? null }
  if (spec.payload !== null && (spec.method === 'GET' || spec.method === 'HEAD'))
    throw new GatewayError('BAD_REQUEST', `payload: a ${spec.method} has no body; leave it out, or set another method`)
  const kept = await keeper.set(namespace, name, schedule, spec)
  context.header('Location', `/v1/functions/${name}/schedules/${schedule}`)
  return context.json(view(kept.schedule, keeper) as never, kept.created ? 201 : 200)
}

function view(schedule: Schedule, keeper: Schedules) {
  return { ...schedule, next: schedule.paused ? [] : keeper.nextRuns(schedule, NEXT_SHOWN) }
}

function keeperOf({ schedules }: ControlParts): Schedules {
  if (schedules) return schedules
  throw new QueueError('QUEUE_UNAVAILABLE', 'this platform has no durable lane, and so no schedules')
}

/** Throws RegistryError when there is no such function. */
function namesOf(context: ControlContext, parts: ControlParts) {
  const { namespace, name } = functionOf(context, parts)
  return { namespace, name, schedule: context.req.param('schedule') ?? '' }
}
