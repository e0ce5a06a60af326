// Poison for the bootstrap's own process: prototypes and globals replaced, its handles taken. Inside a sandbox only.

/** Every method of an object throws from now on. */
function spoil(object: object, only?: readonly string[]): void {
  for (const name of only ?? Object.getOwnPropertyNames(object)) {
    const { value, configurable } = Object.getOwnPropertyDescriptor(object, name) ?? {}
    if (typeof value !== 'function' || configurable !== true || name === 'constructor') continue
    Object.defineProperty(object, name, {
      configurable: true,
      writable: true,
      value: () => {
        throw new Error('poisoned')
      },
    })
  }
}

const POISONS: Readonly<Record<string, () => void>> = {
  arrays: () => spoil(Array.prototype, ['push', 'shift', 'splice', 'join', 'map', 'forEach', 'slice', 'indexOf']),
  buffers: () => {
    spoil(Buffer.prototype)
    spoil(Object.getPrototypeOf(Uint8Array.prototype) as object, ['set', 'subarray', 'slice', 'copyWithin', 'fill'])
    spoil(Buffer)
  },
  promises: () => {
    spoil(Promise.prototype)
    spoil(Promise)
  },
  maps: () => spoil(Map.prototype),
  texts: () => {
    spoil(String.prototype)
    spoil(RegExp.prototype)
    spoil(JSON)
  },
  objects: () => {
    for (const name of ['then', 'get', 'set', 'status', 'body', 'headers', 'length', 'getReader', 'code', 'message']) {
      Object.defineProperty(Object.prototype, name, {
        configurable: true,
        get: () => {
          throw new Error('poisoned')
        },
        set: () => undefined,
      })
    }
  },
  globals: () => {
    spoil(process, ['nextTick', 'emit', 'on', 'exit', 'getBuiltinModule'])
    for (const name of ['queueMicrotask', 'setTimeout', 'setImmediate', 'Response', 'Headers', 'Date', 'Promise'])
      Object.defineProperty(globalThis, name, { value: undefined, configurable: true })
  },
  /** The socket to the platform, taken from Node's list of handles. */
  handles: () => {
    const handles = (
      process as unknown as { _getActiveHandles(): { fd?: number; destroy(): void }[] }
    )._getActiveHandles()
    for (const handle of handles) handle.destroy()
  },
  async: () => {
    const { AsyncLocalStorage } = process.getBuiltinModule('node:async_hooks')
    spoil(AsyncLocalStorage.prototype)
    spoil(process.getBuiltinModule('node:fs'), ['writeSync', 'readSync'])
  },
}

/** Spoils it, and answers. */
export function poison(name: string, ctx: { waitUntil(promise: Promise<unknown>): void }): Response {
  const answer = new Response('poisoned')
  if (name === 'stay') {
    ctx.waitUntil(new Promise(() => undefined))
    return answer
  }
  POISONS[name]!()
  return answer
}
