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
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  // Also when the reader leaves, the sandbox runs on until this has ended: its last line is logged.
  ctx.waitUntil(writeEvents(writable.getWriter(), count, everyMs, ctx.signal))
  return new Response(readable, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } })
}

/** `at` is when the event was made (ms since the epoch): a reader can tell whether it came at once. */
async function writeEvents(
  writer: WritableStreamDefaultWriter<Uint8Array>,
  count: number,
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  let n = 1
  try {
    for (; n <= count; n++) {
      if (n > 1) await delay(everyMs, undefined, { signal })
      const data = JSON.stringify({ n, of: count, at: Date.now() })
      await writer.write(encoder.encode(`id: ${n}\nevent: tick\ndata: ${data}\n\n`))
    }
    await writer.close()
  } catch {
    // The signal aborted the pause, or the stream refused the event: nobody reads any more.
    console.log(`the reader left before event ${n} of ${count}`)
  }
}

function bounded(text: string | null, fallback: number, min: number, max: number): number {
  const value = Math.trunc(Number(text ?? fallback))
  return Number.isNaN(value) ? fallback : Math.min(max, Math.max(min, value))
}
