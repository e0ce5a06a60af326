// Owns the routes of sandboxes and the live events of the platform.
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { PlatformEvent, SandboxAction } from '../../worker/api.ts'
import { GatewayError } from '../errors.ts'
import { answerJson } from '../json-portions.ts'
import { givenNamespace } from './query.ts'
import type { ControlContext, ControlParts, Route } from './route.ts'

const ACTIONS = ['freeze', 'thaw', 'restart', 'kill'] as const satisfies readonly SandboxAction[]

export function sandboxRoutes(parts: ControlParts): Route[] {
  const { worker, fleet } = parts
  const sandboxesOf = async (namespace: string | null) =>
    fleet ? await fleet.sandboxes(namespace) : worker.sandboxes(namespace)
  return [
    {
      method: 'GET',
      path: '/v1/sandboxes',
      id: 'listSandboxes',
      summary: 'Sandboxes with their slot states; of all namespaces unless Fn-Namespace says one',
      answers: { 200: { doc: 'sandboxes', schema: 'Sandbox[]' } },
      handle: async (context) => answerJson(context, await sandboxesOf(givenNamespace(context))),
    },
    {
      method: 'POST',
      path: '/v1/sandboxes/{id}/{action}',
      id: 'actOnSandbox',
      summary: `One of ${ACTIONS.join(', ')}`,
      answers: {
        200: { doc: 'the sandbox afterwards', schema: 'Sandbox' },
        404: { doc: 'no such sandbox', schema: 'Problem' },
        409: { doc: 'its state does not allow that', schema: 'Problem' },
      },
      handle: async (context) => {
        const action = ACTIONS.find((candidate) => candidate === context.req.param('action'))
        if (action === undefined) throw new GatewayError('NOT_FOUND', `unknown action; known: ${ACTIONS.join(', ')}`)
        const id = context.req.param('id') ?? ''
        const own = context.env.outgoing.caller?.namespace ?? null
        if (own !== null && !(await sandboxesOf(own)).some((sandbox) => sandbox.id === id))
          throw new GatewayError('SANDBOX_NOT_FOUND', `no sandbox ${id.slice(0, 80)}`)
        return context.json((await (fleet ?? worker).act(id, action)) as never)
      },
    },
    {
      method: 'GET',
      path: '/v1/events',
      id: 'streamEvents',
      summary: 'What happens on the platform, live: events invocation, sandbox and log',
      answers: { 200: { doc: 'server-sent events', type: 'text/event-stream' } },
      handle: async (context) => await streamEvents(context, parts),
    },
  ]
}

async function streamEvents(context: ControlContext, { worker, fleet, streams }: ControlParts): Promise<Response> {
  const namespace = givenNamespace(context)
  const early: string[] = []
  let send = (text: string): void => void early.push(text)
  const listener = (event: PlatformEvent): void => {
    const subject = subjectOf(event)
    if (namespace !== null && subject.namespace !== namespace) return
    send(textOf(event))
  }
  const unsubscribe = fleet ? await fleet.follow(listener) : worker.subscribe(listener)
  if (context.env.outgoing.destroyed) {
    unsubscribe()
    return RESPONSE_ALREADY_SENT
  }
  const stream = streams.start(context.env.outgoing, 'text/event-stream', ': beat\n\n', unsubscribe)
  send = (text) => void stream.send(text)
  for (const text of early) send(text)
  return RESPONSE_ALREADY_SENT
}

/** Made once for all that follow. */
const TEXTS = new WeakMap<PlatformEvent, string>()
function textOf(event: PlatformEvent): string {
  let text = TEXTS.get(event)
  if (text === undefined) {
    text = `event: ${event.type}\ndata: ${JSON.stringify(subjectOf(event))}\n\n`
    TEXTS.set(event, text)
  }
  return text
}

function subjectOf(event: PlatformEvent) {
  if (event.type === 'invocation') return event.record
  if (event.type === 'after-answer') return event.fault
  return event.type === 'sandbox' ? event.sandbox : event.line
}
