// Owns the log route of a function: what was written so far, and with `follow` what comes.
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { LogLine, LogQuery, PlatformEvent } from '../../worker/api.ts'
import { answerJson } from '../json-portions.ts'
import { namespaceOf, wholeOf, wordOf } from './query.ts'
import type { ControlContext, ControlParts, Route } from './route.ts'

export function logRoutes(parts: ControlParts): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/functions/{name}/logs',
      id: 'getLogs',
      summary:
        'Log lines of a function; with follow=true a stream of JSON lines (server-sent events if that is accepted)',
      query: { tail: 'only the last so many lines', follow: 'true: go on as new lines come' },
      answers: { 200: { doc: 'lines', schema: 'LogLine[]' } },
      handle: async (context) => {
        const namespace = namespaceOf(context)
        const name = context.req.param('name') ?? ''
        // Unknown functions are an error, not an empty log.
        parts.registry.get(namespace, name)
        const tail = wholeOf(context, 'tail', 0, 1_000_000)
        const query: LogQuery = { namespace, function: name, ...(tail === null ? {} : { tail }) }
        if (wordOf(context, 'follow', ['true', 'false']) === 'true') return follow(context, parts, query)
        return answerJson(context, await parts.worker.logs(query))
      },
    },
  ]
}

async function follow(
  context: ControlContext,
  { worker, fleet, streams }: ControlParts,
  query: LogQuery,
): Promise<Response> {
  const asEvents = (context.req.header('accept') ?? '').includes('text/event-stream')
  const format = (line: LogLine): string => (asEvents ? `event: log\ndata: ${jsonOf(line)}\n\n` : `${jsonOf(line)}\n`)
  // ORDER: listen first, then read what was written so far, else lines in between are lost. Those that came both ways go once.
  let early: string[] | null = []
  const listener = (event: PlatformEvent): void => {
    if (event.type !== 'log' || event.line.function !== query.function || event.line.namespace !== query.namespace)
      return
    const text = format(event.line)
    if (early === null) stream.send(text)
    else early.push(text)
  }
  const unsubscribe = fleet ? await fleet.follow(listener) : worker.subscribe(listener)
  if (context.env.outgoing.destroyed) {
    unsubscribe()
    return RESPONSE_ALREADY_SENT
  }
  const stream = streams.start(
    context.env.outgoing,
    asEvents ? 'text/event-stream' : 'application/x-ndjson',
    asEvents ? ': beat\n\n' : '\n',
    unsubscribe,
  )
  const written = (await worker.logs(query)).map(format)
  const sent = new Set(written.slice(-1000))
  for (const text of written) stream.send(text)
  for (const text of early) if (!sent.has(text)) stream.send(text)
  early = null
  return RESPONSE_ALREADY_SENT
}

/** Made once for all that follow. */
const TEXTS = new WeakMap<LogLine, string>()
function jsonOf(line: LogLine): string {
  let text = TEXTS.get(line)
  if (text === undefined) {
    text = JSON.stringify(line)
    TEXTS.set(line, text)
  }
  return text
}
