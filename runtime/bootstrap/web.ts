// The web platform's classes as Node has them, and those put in their place: requests and responses that build the real
// object only when somebody asks for more than the common parts (undici's cost 10-20 µs a call).
// Installed once, after READY: touching these globals loads undici, 26-35 ms.
import { LazyRequest } from './request.ts'
import { createResponseClass } from './response.ts'

/** Node's own classes, before user code can replace them. */
export interface NativeWeb {
  readonly Request: typeof Request
  readonly Response: typeof Response
  readonly Headers: typeof Headers
  readonly AbortController: typeof AbortController
  readonly DOMException: typeof DOMException
  readonly URL: typeof URL
  readonly Blob: typeof Blob
}

let native: NativeWeb | null = null

/** Loads the web classes and installs the lazy ones as globals; again is a no-op. */
export function installWeb(): NativeWeb {
  if (native !== null) return native
  native = { Request, Response, Headers, AbortController, DOMException, URL, Blob }
  LazyRequest.adopt(native)
  const nativeFetch = fetch
  define('Request', requestClass(native.Request))
  define('Response', createResponseClass(native))
  define('fetch', function fetch(input: RequestInfo | URL, init?: RequestInit) {
    return nativeFetch(LazyRequest.unwrap(input), init)
  })
  return native
}

/** Request, with lazy ones accepted wherever a Request is. The prototype stays Node's own, so instanceof holds for all. */
function requestClass(Native: typeof Request): typeof Request {
  const patched = new Proxy(Native, {
    construct(target, args: unknown[], newTarget) {
      const [input, ...rest] = args
      return Reflect.construct(target, args.length === 0 ? args : [LazyRequest.unwrap(input), ...rest], newTarget)
    },
  })
  Native.prototype.constructor = patched
  return patched
}

function define(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false })
}
