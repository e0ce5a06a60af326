// The process inside a sandbox: boots, says READY, loads one function, serves its invocations over fd 3 until killed.
// ORDER: built-ins are taken first, READY comes before the web globals are touched, user code loads last.
import { FrameDecoder } from '../protocol/decoder.ts'
import { FLAG, FRAME, HOST_FRAMES, ProtocolError, readU32, WINDOW_BYTES } from '../protocol/frames.ts'
import { bodyOffset, parseInvokeHead } from '../protocol/heads.ts'
import { CANCEL_REASONS, type InitConfig, type InitSizes, parseInit } from '../protocol/messages.ts'
import { AsyncLocalStorage, changeFolder, exitProcess, readdirSync, Socket, soon } from './builtins.ts'
import { Call, type CallHost } from './call.ts'
import { describeError } from './describe-error.ts'
import { Inflow } from './inflow.ts'
import { lambdaVariables } from './lambda.ts'
import { Leftovers } from './leftovers.ts'
import { type Loaded, loadHandler } from './load.ts'
import { Outbox, writeTo } from './outbox.ts'
import { flushLines, installOutput, type OutputOwner, PartialLines, printError } from './output.ts'
import { installOwnMachine, tellMemory } from './own-machine.ts'
import { rehearse } from './rehearsal.ts'
import { installWeb } from './web.ts'

const HOST_FD = 3
const CODE_FOLDER = '/code'
const READ_BUFFER_BYTES = 64 * 1024

const outbox = new Outbox(writeTo(HOST_FD))
const calls = new Map<number, Call>()
const owners = new AsyncLocalStorage<Call>()
const process0: OutputOwner & { over: boolean } = { id: 0, lines: new PartialLines(), over: false }
/** The call that was begun last: output and errors without an owner count for it. Later calls have not run. */
let latest: OutputOwner = process0
let init: { readonly sizes: InitSizes; readonly bytes: Buffer; filled: number } | null = null
let loaded: Loaded | null = null
/** The code is being evaluated, or was. */
let begun = false
let leftovers: Leftovers | null = null
let exitSaid = false
/** The error that ends the process. */
let fatal: { readonly error: unknown } | null = null

/** Whose output it is: the call that started the code, also when it is over; else the only one under way, else the last one. */
function currentOwner(): OutputOwner {
  const owner = owners.getStore()
  if (owner !== undefined) return owner
  if (calls.size === 1) for (const only of calls.values()) return only
  return latest
}

const host: CallHost = {
  outbox,
  handler: (call) => loaded!.handler(call),
  enter: (call, fire) => owners.run(call, fire),
  finished: (call) => calls.delete(call.id),
  leaves: () => leftovers?.any() === true,
  leave() {
    sayExit(0, true)
    exitProcess(0)
  },
}

function onFrame(type: number, id: number, payload: Buffer): void {
  if (id === 0) onSandboxFrame(type, payload)
  else if (type === FRAME.INVOKE) onInvoke(id, payload)
  else {
    // A frame may cross the end of its call: that is no error.
    const call = calls.get(id)
    if (call !== undefined) onCallFrame(call, type, payload)
  }
}

function onCallFrame(call: Call, type: number, payload: Buffer): void {
  if (type === FRAME.DATA) call.inflow?.push(copyOf(payload))
  else if (type === FRAME.END) endBody(call, payload)
  else if (type === FRAME.CREDIT) call.addCredit(readU32(payload, 0))
  else if (type === FRAME.CANCEL) call.cancel(CANCEL_REASONS[payload[0]!] ?? 'cancelled')
}

function onSandboxFrame(type: number, payload: Buffer): void {
  if (type === FRAME.INIT) {
    const sizes = parseInit(payload)
    const { configBytes, sourceBytes, cacheBytes } = sizes
    init = { sizes, bytes: Buffer.allocUnsafeSlow(configBytes + sourceBytes + cacheBytes), filled: 0 }
  } else if (type === FRAME.DATA) onCode(payload)
  else if (type === FRAME.END) load()
  else if (type === FRAME.CACHE) sendCache(readU32(payload, 0))
}

/** Nothing but END when there is no cache, or too large a one. */
function sendCache(maxBytes: number): void {
  let cache: Buffer | null = null
  try {
    cache = loaded?.cache() ?? null
  } catch {
    // A bundle of another form has none.
  }
  if (cache !== null && cache.length <= maxBytes) {
    for (let from = 0; from < cache.length; from += WINDOW_BYTES) {
      outbox.data(0, cache.subarray(from, from + WINDOW_BYTES))
    }
  }
  outbox.signal(FRAME.END, 0)
}

function onInvoke(id: number, payload: Buffer): void {
  if (loaded === null) throw new ProtocolError('INVOKE before LOADED')
  const bodyAt = bodyOffset(payload)
  const complete = (payload[0]! & FLAG.END) !== 0
  const first = bodyAt < payload.length ? copyOf(payload.subarray(bodyAt)) : null
  const inflow = complete && first === null ? null : new Inflow(id, outbox, first, complete)
  const call = new Call(id, parseInvokeHead(payload, bodyAt), inflow, host)
  calls.set(id, call)
  if ((payload[0]! & FLAG.THAWED) === 0) begin(call)
  else afterPending(() => begin(call))
}

function begin(call: Call): void {
  latest = call
  call.run()
}

/** The code learns what came while the process was frozen (a peer closed its connection) before the next call: one round of the
 *  event loop hands it out, and the closing callbacks of that round come before the second. */
function afterPending(run: () => void): void {
  soon(() => soon(run))
}

function endBody({ inflow }: Call, payload: Buffer): void {
  if (payload.length > 0 && (payload[0]! & FLAG.ABORTED) !== 0) {
    inflow?.fail(new TypeError('the request body broke off before its end'))
  } else inflow?.end()
}

function onCode(payload: Buffer): void {
  if (init === null || init.filled + payload.length > init.bytes.length)
    throw new ProtocolError('DATA beyond what INIT announced')
  init.filled += payload.copy(init.bytes, init.filled)
}

function load(): void {
  if (init === null || init.filled !== init.bytes.length || begun) throw new ProtocolError('END of code out of place')
  const { configBytes, sourceBytes, cacheBytes } = init.sizes
  const config: InitConfig = JSON.parse(init.bytes.toString('utf8', 0, configBytes))
  const source = init.bytes.subarray(configBytes, configBytes + sourceBytes)
  const cache = cacheBytes === 0 ? undefined : init.bytes.subarray(configBytes + sourceBytes)
  init = null
  begun = true
  installWeb()
  installOwnMachine()
  tellMemory(config.memoryBytes)
  goWhereFilesAre()
  Object.assign(process.env, config.form === 'lambda' ? lambdaVariables(config) : {}, config.env)
  process.env.NODE_ENV ??= 'production'
  try {
    const made = loadHandler(source, config, cache)
    if (made instanceof Promise) made.then((late) => onLoaded(late, config), onLoadFailed)
    else onLoaded(made, config)
  } catch (error) {
    onLoadFailed(error)
  }
}

function onLoaded(made: Loaded, config: InitConfig): void {
  loaded = made
  if (config.leftovers === 'kill') leftovers = new Leftovers()
  flushLines(outbox, process0)
  process0.over = true
  outbox.signal(FRAME.LOADED, 0)
}

function onLoadFailed(error: unknown): void {
  flushLines(outbox, process0)
  outbox.fault(FRAME.FAIL, 0, { code: 'LOAD_FAILED', ...describeError(error) })
}

/** Files that ship with the code are found by paths from the project's folder, too, as where it was written. */
function goWhereFilesAre(): void {
  try {
    const beside = readdirSync(CODE_FOLDER).some((name) => name !== 'node_modules')
    if (beside) changeFolder(CODE_FOLDER)
  } catch {
    // No such folder: nothing ships with the code.
  }
}

/** The read buffer is used again for the next bytes: what is kept must be copied. */
function copyOf(payload: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(payload.length)
  payload.copy(copy)
  return copy
}

/** The last frame. `meant`: the process was asked to end. */
function sayExit(exitCode: number, meant = false): void {
  if (exitSaid) return
  exitSaid = true
  const owner = currentOwner()
  for (const one of new Set([...calls.values(), owner, process0])) flushLines(outbox, one)
  outbox.fault(FRAME.EXIT, meant ? 0 : owner.id, {
    exitCode,
    received: latest.id,
    ...(meant ? { meant } : {}),
    ...(fatal === null ? {} : describeError(fatal.error)),
  })
  outbox.flushNow()
}

function onUncaught(error: unknown): void {
  // A function with a listener of its own has taken the matter over, as under plain Node.
  if (process.listenerCount('uncaughtException') > 1) return
  printError('Uncaught', error)
  fatal = { error }
  exitProcess(1)
}

/** ORDER: EXIT is said when the code's own `exit` listeners have run: what they print belongs before it. Node calls this
 *  through the process object. */
function sayExitLast(): void {
  const ending = process as unknown as { reallyExit(code: number): never }
  const reallyExit = ending.reallyExit.bind(process)
  ending.reallyExit = (code) => {
    sayExit(code)
    return reallyExit(code)
  }
}

function boot(): void {
  process.env.HOME ??= '/tmp'
  process.env.TMPDIR ??= '/tmp'
  installOutput(outbox, currentOwner)
  sayExitLast()
  process.on('uncaughtException', onUncaught)
  const decoder = new FrameDecoder(HOST_FRAMES, onFrame)
  const buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
  const socket = new Socket({
    fd: HOST_FD,
    onread: {
      buffer,
      callback: (bytes) => {
        decoder.push(bytes === buffer.length ? buffer : buffer.subarray(0, bytes))
        return true
      },
    },
  } as ConstructorParameters<typeof Socket>[0])
  const leave = () => {
    exitSaid = true
    exitProcess(0)
  }
  socket.on('error', leave)
  socket.on('close', leave)
  socket.on('end', leave)
  outbox.signal(FRAME.READY, 0)
  outbox.flushNow()
  setImmediate(() => {
    // INIT may have come in the meantime: then there is nothing to prepare for.
    if (begun) return
    installWeb()
    installOwnMachine()
    rehearse()
    // Nothing is left to prepare: a sandbox that waits for its function may be frozen.
    outbox.signal(FRAME.IDLE, 0)
  })
}

boot()
