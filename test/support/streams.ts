// Reading streams in tests.
import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'

/** All of a stream as text; null is the empty string. Resolves at its end or when it is closed. */
export function text(stream: Readable | null): Promise<string> {
  if (stream === null) return Promise.resolve('')
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    const finish = () => resolve(Buffer.concat(chunks).toString('utf8'))
    stream.once('end', finish)
    stream.once('close', finish)
    stream.once('error', finish)
  })
}

/** SHA-256 in hex. */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
