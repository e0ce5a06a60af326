// Takes a webhook signed with HMAC-SHA256 over the raw body (GitHub's scheme), made to be called asynchronously: the sender
// has its 202 at once, a crash here is tried again, a wrong signature (a 4xx) is not.
//   bin/fn deploy functions/webhook.ts            (the demo's secret is in webhook.fn.json)
//   BODY='{"event":"order.paid","order":42}'
//   SIGNATURE=$(printf %s "$BODY" | openssl dgst -sha256 -hmac 'demo secret, change me' -r | cut -d' ' -f1)
//   curl -i -H 'Prefer: respond-async' -H "X-Hub-Signature-256: sha256=$SIGNATURE" -d "$BODY" http://127.0.0.1:8080/fn/webhook
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Context, Env } from 'thaw'

export default {
  async fetch(request: Request, env: Env, ctx: Context): Promise<Response> {
    if (request.method !== 'POST') return problem(405, 'POST a signed payload')
    if (!env.WEBHOOK_SECRET) throw new Error('WEBHOOK_SECRET is not set: add it to env in webhook.fn.json')
    // The signature covers the bytes as sent; parsing first would accept what the sender never signed.
    const body = Buffer.from(await request.arrayBuffer())
    if (!isSigned(body, request.headers.get('x-hub-signature-256'), env.WEBHOOK_SECRET)) {
      return problem(401, 'the signature does not match the body')
    }
    const event = parseEvent(body)
    if (event === null) return problem(422, 'expected a JSON object with an "event"')
    // The invocation id is the same on every attempt, so it can key whatever must happen only once.
    console.log(`${event} accepted, attempt ${ctx.attempt}, key ${ctx.invocationId}`)
    return Response.json({ accepted: event, attempt: ctx.attempt, key: ctx.invocationId })
  },
}

/** Constant-time: the answer's time says nothing about how much of a guess was right. */
function isSigned(body: Buffer, header: string | null, secret: string): boolean {
  const hex = /^sha256=([0-9a-f]{64})$/.exec(header ?? '')?.[1]
  if (hex === undefined) return false
  return timingSafeEqual(Buffer.from(hex, 'hex'), createHmac('sha256', secret).update(body).digest())
}

function parseEvent(body: Buffer): string | null {
  try {
    const payload: unknown = JSON.parse(body.toString('utf8'))
    const event = (payload as { event?: unknown } | null)?.event
    return typeof event === 'string' ? event : null
  } catch {
    return null
  }
}

function problem(status: number, error: string): Response {
  return Response.json({ error }, { status })
}
