// Server-sent events: one event at a time, each as soon as it exists, until the count is reached or the reader leaves.
//   bin/fn deploy functions/sse.ts
//   curl -N 'http://127.0.0.1:8080/fn/sse?count=5&every=500'
import { setTimeout as delay } from 'node:timers/promises'
import type { Context } from 'thaw'

const encoder = new TextEncoder()

export default function ticks(request: Request, ctx: Context): Response {
  const query = new URL(request.url).searchParams
  const count = bounded(query.get('count'), 5, 1, 10_000)
  const everyMs = bounded(query.get('every'), 500, 1, 60_000)
  const source = events(count, everyMs, ctx.signal)
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await source.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } })
}

/** `at` is when the event was made (ms since the epoch): a reader can tell whether it came at once. */
async function* events(count: number, everyMs: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for (let n = 1; n <= count; n++) {
    yield encoder.encode(`id: ${n}\nevent: tick\ndata: ${JSON.stringify({ n, of: count, at: Date.now() })}\n\n`)
    if (n === count) return
    try {
      await delay(everyMs, undefined, { signal })
    } catch {
      console.log(`the reader left after event ${n} of ${count}`)
      return
    }
  }
}

function bounded(text: string | null, fallback: number, min: number, max: number): number {
  const value = Math.trunc(Number(text ?? fallback))
  return Number.isNaN(value) ? fallback : Math.min(max, Math.max(min, value))
}
