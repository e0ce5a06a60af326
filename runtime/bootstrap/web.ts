// The web platform's classes as Node has them, and those put in their place: requests and responses that build the real
// object only when somebody asks for more than the common parts (undici's cost 10-20 µs a call).
// Installed once, after READY: touching these globals loads undici, 26-35 ms.
import { createFetch } from './fetch.ts'
import { LazyRequest } from './request.ts'
import { createResponseClass, LazyResponse } from './response.ts'

/** Node's own classes, before user code can replace them. */
export interface NativeWeb {
  readonly Request: typeof Request
  readonly Response: typeof Response
  readonly Headers: typeof Headers
  readonly AbortController: typeof AbortController
  readonly DOMException: typeof DOMException
  readonly URL: typeof URL
  readonly Blob: typeof Blob
  /** `structuredClone` of the object throws, as of Node's own. */
  readonly markAsUncloneable: (object: object) => void
}

let native: NativeWeb | null = null

/** Loads the web classes and installs the lazy ones as globals; again is a no-op. */
export function installWeb(): NativeWeb {
  if (native !== null) return native
  const classes = { Request, Response, Headers, AbortController, DOMException, URL, Blob }
  // Undici has loaded it by now.
  const { markAsUncloneable } = process.getBuiltinModule('node:worker_threads')
  native = { ...classes, markAsUncloneable }
  LazyRequest.adopt(native)
  // Before the constructor is put in its place, which is no member to be asked for.
  patchPrototype(native.Request.prototype, LazyRequest, (value) => LazyRequest.unwrap(value))
  patchPrototype(native.Response.prototype, LazyResponse, (value) => LazyResponse.unwrap(value))
  define('Request', requestClass(native.Request))
  define('Response', createResponseClass(native))
  define('fetch', createFetch(fetch, native))
  return native
}

interface LazyClass {
  readonly prototype: object
  is(value: unknown): boolean
}

/** Makes what is taken off Node's prototype work on lazy objects too: `Request.prototype.text.call(request)`, and Node's own
 *  `inspect` of one. A member that the lazy class has is its own, any other is asked of the real object. */
function patchPrototype(prototype: object, lazy: LazyClass, unwrap: (value: unknown) => unknown): void {
  for (const key of Reflect.ownKeys(prototype)) {
    const property = Object.getOwnPropertyDescriptor(prototype, key)!
    if (key === 'constructor' || !property.configurable) continue
    const own = Object.getOwnPropertyDescriptor(lazy.prototype, key)
    if (own !== undefined)
      Object.defineProperty(lazy.prototype, key, { ...own, enumerable: property.enumerable === true })
    const patched = { ...property }
    if (property.get) patched.get = dispatching(property.get, own?.get, lazy, unwrap)
    if (typeof property.value === 'function') patched.value = dispatching(property.value, own?.value, lazy, unwrap)
    Object.defineProperty(prototype, key, patched)
  }
}

type Method = (this: unknown, ...parameters: unknown[]) => unknown

/** Keeps name and length of the native one. */
function dispatching(
  nativeOne: Method,
  lazyOne: Method | undefined,
  lazy: LazyClass,
  unwrap: (value: unknown) => unknown,
) {
  const dispatch = {
    call(this: unknown, ...parameters: unknown[]) {
      if (!lazy.is(this)) return nativeOne.apply(this, parameters)
      return (lazyOne ?? nativeOne).apply(lazyOne === undefined ? unwrap(this) : this, parameters)
    },
  }.call
  for (const key of ['name', 'length']) {
    Object.defineProperty(dispatch, key, Object.getOwnPropertyDescriptor(nativeOne, key)!)
  }
  return dispatch
}

/** True for a Response of ours or of Node, subclasses included. */
export function isResponse(value: unknown): boolean {
  return native !== null && value instanceof native.Response
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
