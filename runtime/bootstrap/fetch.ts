// The `fetch` that functions call. Node's own decodes a compressed body and keeps the headers of the compressed one: passed on, the
// answer would be cut off and mislabelled. Where the body was decoded, those two headers are removed, as in Deno.
import { LazyRequest } from './request.ts'
import type { NativeWeb } from './web.ts'

/** What Node's fetch decodes (undici, `lib/web/fetch`); with any other in the list it decodes nothing. */
const DECODED: ReadonlySet<string> = new Set(['gzip', 'x-gzip', 'deflate', 'br', 'zstd'])

interface ReadableHeaders {
  get?(name: string): string | null
}

/** Whether a response that some fetch made says a coding that its body no longer has. `url`: empty of those that code made. */
export function isDecodedByFetch(url: unknown, headers: unknown): boolean {
  if (typeof url !== 'string' || url === '') return false
  const { get } = headers as ReadableHeaders
  if (typeof get !== 'function') return false
  return isDecoded((headers as Headers).get('content-encoding'))
}

/** The global `fetch` around Node's. */
export function createFetch(nativeFetch: typeof fetch, native: NativeWeb): typeof fetch {
  return async function fetch(input: RequestInfo | URL, init: RequestInit | undefined = undefined): Promise<Response> {
    return correct(await nativeFetch(LazyRequest.unwrap(input), init), native)
  }
}

/** A response without a body (HEAD, 204, 304) keeps its headers: they speak of what was not sent. */
function correct(response: Response, native: NativeWeb): Response {
  const { headers } = response
  if (response.body === null || !isDecoded(headers.get('content-encoding'))) return response
  const told = new native.Headers(headers)
  told.delete('content-encoding')
  told.delete('content-length')
  const clone = response.clone.bind(response)
  // The headers of a fetched response cannot be changed: these stand before them.
  Object.defineProperties(response, {
    headers: { value: told, configurable: true },
    clone: { value: () => correct(clone(), native), configurable: true, writable: true },
  })
  return response
}

function isDecoded(codings: string | null): boolean {
  if (codings === null || codings === '') return false
  return codings.split(',').every((coding) => DECODED.has(coding.trim().toLowerCase()))
}
