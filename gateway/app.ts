// Owns the control API's router: every row of the route table becomes a Hono route; what throws becomes a problem. Who may call
// was settled before (control-gate.ts).
import { getRequestListener } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { Hono } from 'hono'
import type { Control } from './control-gate.ts'
import { GatewayError, refusalOf, refusalOfError } from './errors.ts'
import { expectBoundedTarget } from './input-bounds.ts'
import { openApiDocument } from './openapi.ts'
import { answerProblem, PROBLEM_TYPE } from './problem.ts'
import { callbackRoutes } from './routes/callbacks.ts'
import { deadLetterRoutes } from './routes/dead-letters.ts'
import { functionRoutes } from './routes/functions.ts'
import { invocationRoutes } from './routes/invocations.ts'
import { logRoutes } from './routes/logs.ts'
import { namespaceRoutes } from './routes/namespaces.ts'
import { networkRoutes } from './routes/networks.ts'
import { platformRoutes } from './routes/platform.ts'
import type { ControlContext, ControlEnv, ControlParts, Route } from './routes/route.ts'
import { sandboxRoutes } from './routes/sandboxes.ts'
import { scheduleRoutes } from './routes/schedules.ts'
import { secretRoutes } from './routes/secrets.ts'
import { tokenRoutes } from './routes/tokens.ts'
import { volumeRoutes } from './routes/volumes.ts'

/** All control routes, in the order of the OpenAPI document. */
export function controlRoutes(parts: ControlParts): Route[] {
  const routes: Route[] = []
  // Open to all callers and always the same.
  let openApi: string | null = null
  routes.push(
    ...functionRoutes(parts),
    ...scheduleRoutes(parts),
    ...deadLetterRoutes(parts),
    ...invocationRoutes(parts),
    ...callbackRoutes(parts),
    ...logRoutes(parts),
    ...sandboxRoutes(parts),
    ...volumeRoutes(parts),
    ...networkRoutes(parts),
    ...secretRoutes(parts),
    ...tokenRoutes(parts),
    ...namespaceRoutes(parts),
    ...platformRoutes(parts, () => (openApi ??= JSON.stringify(openApiDocument(routes, parts.version)))),
  )
  return routes
}

/** The control API as a node:http handler. */
export function createControl(parts: ControlParts): Control {
  const routes = controlRoutes(parts)
  const app = new Hono<ControlEnv>()
  for (const { method, path, handle } of routes)
    if (handle !== null) app.on(method, path.replaceAll(/\{(\w+)\}/g, ':$1'), bounded(handle))
  app.notFound((context) => refuse(context, missing(context, routes)))
  app.onError((error, context) => {
    const refusal = refusalOfError(error)
    if (refusal.problem.code === 'INTERNAL')
      parts.logger.error({ err: error, path: context.req.path }, 'control call failed')
    return refuse(context as ControlContext, error)
  })
  const listener = getRequestListener((request, bindings) => app.fetch(request, bindings), {
    overrideGlobalObjects: false,
    // HTTP/1.0 has no Host.
    hostname: 'localhost',
    errorHandler: (error) => {
      parts.logger.info({ err: error }, 'control call could not be read')
      const { problem } = refusalOf('BAD_REQUEST', 'the request cannot be read')
      return new Response(JSON.stringify(problem), { status: 400, headers: { 'content-type': PROBLEM_TYPE } })
    },
  })
  return (incoming, outgoing) => {
    listener(incoming, outgoing).catch((error: unknown) => {
      parts.logger.error({ err: error }, 'control call failed')
      answerProblem(incoming, outgoing, refusalOf('INTERNAL', 'the platform failed; its log says why'))
    })
  }
}

/** What the path and the query say is bounded before a route looks at it. */
function bounded(handle: NonNullable<Route['handle']>): NonNullable<Route['handle']> {
  return (context) => {
    expectBoundedTarget(context.env.incoming.url ?? '', context.req.param(), context.req.query())
    return handle(context)
  }
}

// Written straight to the socket: the body may still be on its way, and that needs care (problem.ts).
function refuse(context: ControlContext, error: unknown): Response {
  answerProblem(context.env.incoming, context.env.outgoing, refusalOfError(error))
  return RESPONSE_ALREADY_SENT
}

function missing(context: ControlContext, routes: readonly Route[]): GatewayError {
  const { path, method } = context.req
  const allowed = routes.filter((route) => matches(route.path, path)).map((route) => route.method)
  if (allowed.length === 0) return new GatewayError('NOT_FOUND', `nothing is at ${path.slice(0, 200)}`)
  return new GatewayError('METHOD_NOT_ALLOWED', `${method} is not allowed here; allowed: ${allowed.join(', ')}`, {
    headers: ['Allow', allowed.join(', ')],
  })
}

function matches(pattern: string, path: string): boolean {
  const expected = pattern.split('/')
  const actual = path.split('/')
  return (
    expected.length === actual.length &&
    expected.every((part, index) => (part.startsWith('{') ? actual[index] !== '' : part === actual[index]))
  )
}
