// Moves a response's body to a stream as it arrives, no faster than the stream takes it.
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'

/** Resolves when all is handed over, to the last byte (null for an empty body). Rejects when the connection breaks off. */
export async function copyBody(body: Readable, target: Writable): Promise<number | null> {
  let last: number | null = null
  for await (const chunk of body as AsyncIterable<Buffer>) {
    last = chunk.at(-1) ?? last
    if (!target.write(chunk)) await once(target, 'drain')
  }
  return last
}
