// Turns a listener for Node's http server (Express, Koa, any (req, res) function) into a fetch handler: Node's own
// IncomingMessage and ServerResponse, without a connection. Bundled into the function's code; knows nothing of the platform.
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Context, Env, FetchHandler } from './handler.ts'
import { createIncoming } from './node/incoming.ts'
import { NoSocket } from './node/no-socket.ts'
import { Reply } from './node/reply.ts'

/** `(req, res)`, as given to `http.createServer`. */
export type NodeListener = (request: IncomingMessage, response: ServerResponse) => unknown
/** A listener; an app that makes one (`app.callback()` of Koa) or is one once it is ready (Fastify); or a server of node:http that
 *  listens nowhere. */
export type NodeApp =
  | NodeListener
  | { callback(): NodeListener }
  | { routing: NodeListener; ready(): PromiseLike<unknown> }
  | { emit(event: 'request', request: IncomingMessage, response: ServerResponse): boolean }

/** A fetch handler around `app`. A listener that throws or rejects before it answered makes the call fail; one that destroys
 *  request, response or socket before the response's end cuts it off. Throws TypeError for what is no app. */
export function fromNode(app: NodeApp): FetchHandler {
  const listener = listenerOf(app)
  return {
    fetch(request: Request, _env: Env, ctx?: Context): Promise<Response> {
      const socket = new NoSocket(request)
      const { incoming, dropUnread } = createIncoming(request, socket, ctx?.rawUrl)
      const outgoing = new ServerResponse(incoming)
      const reply = new Reply({ incoming, outgoing, socket, ended: dropUnread })
      const leave = () => {
        reply.fail(new DOMException('the caller has left', 'AbortError'))
        socket.destroy()
      }
      request.signal.addEventListener('abort', leave, { once: true })
      const handled = new Promise<unknown>((resolve) => resolve(listener(incoming, outgoing)))
      handled.catch((error: unknown) => reply.fail(error))
      return reply.response
    },
  }
}

function listenerOf(app: NodeApp): NodeListener {
  if (typeof app === 'function') return app
  const { callback, routing, ready, emit } = (app ?? {}) as Partial<Record<string, (...given: never[]) => unknown>>
  if (typeof callback === 'function') return (app as { callback(): NodeListener }).callback()
  if (typeof routing === 'function' && typeof ready === 'function') {
    const fastify = app as { routing: NodeListener; ready(): PromiseLike<unknown> }
    return async (request, response) => {
      await fastify.ready()
      return fastify.routing(request, response)
    }
  }
  if (typeof emit === 'function') {
    const server = app as { emit(event: 'request', request: IncomingMessage, response: ServerResponse): boolean }
    return (request, response) => {
      if (!server.emit('request', request, response)) throw new TypeError('the server has no listener for requests')
    }
  }
  throw new TypeError('fromNode(app): expected a function (req, res), an app with callback(), or a server of node:http')
}
