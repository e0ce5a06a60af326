// Moves a response's body to a stream as it arrives, no faster than the stream takes it.
import { once } from 'node:events'
import type { Writable } from 'node:stream'

/** Resolves when all is handed over; to the number of bytes and the last of them (null for an empty body). Rejects when the connection breaks. */
export async function copyBody(response: Response, target: Writable): Promise<{ bytes: number; last: number | null }> {
  let bytes = 0
  let last: number | null = null
  if (response.body === null) return { bytes, last }
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    if (chunk.length === 0) continue
    bytes += chunk.length
    last = chunk[chunk.length - 1] ?? null
    if (!target.write(chunk)) await once(target, 'drain')
  }
  return { bytes, last }
}
