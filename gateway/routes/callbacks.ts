// Owns the routes of callbacks: the secret they are signed with, and what became of those of one call.
import { type Callbacks, QueueError } from '../../worker/queue/api.ts'
import { isInvocationId } from '../invocation/id.ts'
import { namespaceOf } from './query.ts'
import type { ControlContext, ControlParts, Route } from './route.ts'

export function callbackRoutes(parts: ControlParts): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/webhook-secret',
      id: 'getWebhookSecret',
      summary:
        'The secret that callbacks of the namespace are signed with (Standard Webhooks); made at the first asking',
      answers: { 200: { doc: 'the secret', schema: 'WebhookSecret' } },
      handle: async (context) => secret(context, await keeperOf(parts).secret(namespaceOf(context))),
    },
    {
      method: 'POST',
      path: '/v1/webhook-secret/rotate',
      id: 'rotateWebhookSecret',
      summary: 'Makes a new secret; the one before signs beside it for a day',
      answers: { 200: { doc: 'the new secret', schema: 'WebhookSecret' } },
      handle: async (context) => secret(context, await keeperOf(parts).rotateSecret(namespaceOf(context))),
    },
    {
      method: 'GET',
      path: '/v1/invocations/{id}/callbacks',
      id: 'listCallbacks',
      summary: 'Whom the end of an asynchronous call was told: onSuccess, onFailure, its callback; kept for a day',
      answers: {
        200: { doc: 'follow-ups, oldest first', schema: 'Delivery[]' },
        404: { doc: 'unknown', schema: 'Problem' },
      },
      handle: async (context) => {
        const id = context.req.param('id') ?? ''
        const record = isInvocationId(id) ? await parts.lane?.record(id) : null
        if (!record || record.namespace !== namespaceOf(context))
          throw new QueueError('INVOCATION_NOT_FOUND', `no asynchronous invocation ${JSON.stringify(id.slice(0, 80))}`)
        return context.json((await keeperOf(parts).deliveries(id)) as never)
      },
    },
  ]
}

function secret(context: ControlContext, answer: object): Response {
  context.header('Cache-Control', 'no-store')
  return context.json(answer as never)
}

function keeperOf({ callbacks }: ControlParts): Callbacks {
  if (callbacks) return callbacks
  throw new QueueError('QUEUE_UNAVAILABLE', 'this platform has no durable lane, and so no callbacks')
}
