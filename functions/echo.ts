// Sends a request back: the body streams through untouched, whatever its size; method, target and headers are shown.
//   bin/fn deploy functions/echo.ts
//   curl -sS --data-binary @README.md 'http://127.0.0.1:8080/fn/echo/any/path?x=1' | cmp - README.md
//   curl 'http://127.0.0.1:8080/fn/echo/a%2Fb?mode=json&status=201'     (the request as JSON, no body)
import type { Context } from 'thaw'

/** Statuses that may not have a body; `new Response` refuses one. */
const NULL_BODY = new Set([204, 205, 304])

export default function echo(request: Request, ctx: Context): Response {
  const query = new URL(request.url).searchParams
  const status = Number(query.get('status') ?? 200)
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    return Response.json({ error: 'status: expected a whole number from 200 to 599' }, { status: 400 })
  }
  if (query.get('mode') === 'json') {
    const headers = [...request.headers]
    return Response.json({ method: request.method, rawUrl: ctx.rawUrl, url: request.url, headers }, { status })
  }
  const headers = new Headers({ 'x-echo-method': request.method, 'x-echo-target': ctx.rawUrl })
  headers.set('content-type', request.headers.get('content-type') ?? 'application/octet-stream')
  for (const cookie of query.getAll('cookie')) headers.append('set-cookie', cookie)
  for (const [name, value] of request.headers) {
    if (name.startsWith('x-') && !name.startsWith('x-forwarded-')) headers.set(`x-echo-${name.slice(2)}`, value)
  }
  return new Response(NULL_BODY.has(status) ? null : request.body, { status, headers })
}
