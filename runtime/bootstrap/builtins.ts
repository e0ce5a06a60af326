// References to everything the bootstrap needs from Node, taken before user code can replace any of it.
// process.getBuiltinModule, never import: an ESM import of a built-in costs 25-39 ms of start-up in Node 24.
const fs = process.getBuiltinModule('node:fs')
const streams = process.getBuiltinModule('node:stream')

export const { readdirSync, readFileSync, writeSync } = fs
/** The module object: what is put into it, code sees. */
export const os = process.getBuiltinModule('node:os')
/** As Node has it. */
export const { networkInterfaces } = os
export const { Writable } = streams
/** True once a web stream was read from or cancelled; missing from the types. */
export const { isDisturbed } = streams as unknown as { isDisturbed(stream: ReadableStream): boolean }
export const { Socket } = process.getBuiltinModule('node:net')
export const { isAscii, isUtf8 } = process.getBuiltinModule('node:buffer')
export const { AsyncLocalStorage } = process.getBuiltinModule('node:async_hooks')
export const { StringDecoder } = process.getBuiltinModule('node:string_decoder')
export const vm = process.getBuiltinModule('node:vm')
export const { createRequire, syncBuiltinESMExports } = process.getBuiltinModule('node:module')
export const { inspect, types } = process.getBuiltinModule('node:util')

export const { nextTick } = process
/** Names of what keeps the process busy; references are taken, for code may replace them. */
export const activeResources: () => string[] = process.getActiveResourcesInfo.bind(process)
export const changeFolder: (path: string) => void = process.chdir.bind(process)
export const soon: (run: () => void) => NodeJS.Immediate = setImmediate
export const exitProcess: (code: number) => never = process.exit.bind(process)
export const now: () => number = Date.now
export const schedule: (fire: () => void, ms: number) => NodeJS.Timeout = setTimeout
export const defer: (fire: () => void) => void = setImmediate
/** The text of a function, whatever the code has made of `toString`. */
export const sourceOf: (of: object) => string = Function.prototype.call.bind(Function.prototype.toString)
export const enqueueMicrotask: (run: () => void) => void = queueMicrotask
export const { wait } = Atomics
