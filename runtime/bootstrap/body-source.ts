// Recognises bodies by what they do, never by what they are: web streams, proxies and ponyfills of them, streams of Node, async
// iterables, blobs, bytes of every kind. Reads nothing itself.
import type { AnswerBody, ByteReader, ByteSource } from './answer.ts'
import { types } from './builtins.ts'

/** Members that a body may have; each is looked up by name on an unknown object. */
interface BodyLike {
  getReader?: () => ByteReader
  cancel?: (reason?: unknown) => unknown
  destroy?: (error?: Error) => unknown
  stream?: () => unknown
  arrayBuffer?: () => Promise<ArrayBuffer>
  [Symbol.asyncIterator]?: () => AsyncIterator<unknown>
  [Symbol.iterator]?: () => Iterator<unknown>
}

/** The body in a form that can be sent; undefined for what is none. */
export function bodyOf(value: unknown): AnswerBody | undefined {
  if (value === null || typeof value === 'string') return value
  if (types.isUint8Array(value)) return value
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  if (types.isAnyArrayBuffer(value)) return new Uint8Array(value)
  if (typeof value !== 'object') return undefined
  const like = value as BodyLike
  if (typeof like.getReader === 'function') return like as ByteSource
  if (typeof like[Symbol.asyncIterator] === 'function') return iterated(like, () => like[Symbol.asyncIterator]!())
  if (typeof like.stream === 'function') return bodyOf(like.stream())
  if (typeof like.arrayBuffer === 'function') return buffered(like as { arrayBuffer(): Promise<ArrayBuffer> })
  if (typeof like[Symbol.iterator] === 'function') return iterated(like, () => like[Symbol.iterator]!())
  return undefined
}

/** A body that can only be read whole. */
export function buffered(from: { arrayBuffer(): PromiseLike<ArrayBuffer> }): ByteSource {
  let isRead = false
  return {
    getReader: () => ({
      async read() {
        if (isRead) return { done: true }
        isRead = true
        return { done: false, value: await from.arrayBuffer() }
      },
      cancel: () => undefined,
    }),
    cancel: () => undefined,
  }
}

/** A chunk that a body gave as bytes; null for what is none. */
export function bytesOfChunk(chunk: unknown): Uint8Array | null {
  if (typeof chunk === 'string') return Buffer.from(chunk)
  if (types.isUint8Array(chunk)) return chunk
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  return types.isAnyArrayBuffer(chunk) ? new Uint8Array(chunk) : null
}

function iterated(like: BodyLike, iterator: () => AsyncIterator<unknown> | Iterator<unknown>): ByteSource {
  const destroy = () => {
    // A stream of Node is destroyed without an error: code need not listen for one.
    if (typeof like.destroy === 'function') like.destroy()
    else if (typeof like.cancel === 'function') return like.cancel()
    return undefined
  }
  return {
    getReader() {
      const values = iterator()
      return {
        read: async () => values.next(),
        cancel: async () => {
          await values.return?.()
          return destroy()
        },
      }
    },
    cancel: destroy,
  }
}
