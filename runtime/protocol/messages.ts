// Payloads of the rare frames: configuration (INIT), errors (FAIL, EXIT), output lines (LOG), cancel reasons.
// JSON is fine here: none of them is on the path of a call that succeeds. Parsers of what a sandbox says trust nothing.
import {
  FRAME,
  FRAME_HEADER_BYTES,
  MAX_FAULT_BYTES,
  ProtocolError,
  readU32,
  writeFrameHeader,
  writeU32,
} from './frames.ts'

/** The configuration half of what INIT announces: JSON of these, then the source, then its code cache, as DATA of invocation 0. */
export interface InitConfig {
  readonly fileName: string
  readonly form: 'web' | 'lambda'
  readonly env: Readonly<Record<string, string>>
  readonly functionName: string
  readonly version: string
  readonly memoryBytes: number
  /** The process is to end itself after a call that leaves timers or children. */
  readonly leftovers?: 'kill'
}

/** What the DATA frames after INIT carry, in this order. */
export interface InitSizes {
  readonly configBytes: number
  readonly sourceBytes: number
  /** 0: no code cache. */
  readonly cacheBytes: number
}

/** INIT: how many bytes of configuration, source and code cache the following DATA frames carry. */
export function encodeInit(configBytes: number, sourceBytes: number, cacheBytes: number): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + 12)
  const at = writeFrameHeader(frame, 0, FRAME.INIT, 0, 12)
  writeU32(frame, at, configBytes)
  writeU32(frame, at + 4, sourceBytes)
  writeU32(frame, at + 8, cacheBytes)
  return frame
}

/** Throws ProtocolError when it is not twelve bytes. */
export function parseInit(payload: Uint8Array): InitSizes {
  if (payload.length !== 12) throw new ProtocolError(`INIT of ${payload.length} bytes`)
  return { configBytes: readU32(payload, 0), sourceBytes: readU32(payload, 4), cacheBytes: readU32(payload, 8) }
}

/** CACHE: asks for the code cache, of at most so many bytes. */
export function encodeCacheRequest(maxBytes: number): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + 4)
  writeU32(frame, writeFrameHeader(frame, 0, FRAME.CACHE, 0, 4), maxBytes)
  return frame
}

/** Why a call was cancelled, in the order of their numbers on the wire. */
export const CANCEL_REASONS = ['client', 'timeout', 'cancelled'] as const
export type CancelReason = (typeof CANCEL_REASONS)[number]

/** The codes a sandbox may give itself; everything else is the host's judgement. */
export type SandboxFaultCode = 'HANDLER_THREW' | 'INVALID_RESPONSE' | 'LOAD_FAILED' | 'BODY_ABORTED'
const FAULT_CODES: readonly string[] = [
  'HANDLER_THREW',
  'INVALID_RESPONSE',
  'LOAD_FAILED',
  'BODY_ABORTED',
] satisfies SandboxFaultCode[]

/** Payload of FAIL. */
export interface FaultMessage {
  readonly code: SandboxFaultCode
  readonly message: string
  readonly stack?: string
}
/** Payload of EXIT: the process ends with `exitCode`, because of `message` when an error was not caught. Its invocation number
 *  is that of the call whose code ended it, 0 when it is not known. */
export interface ExitMessage {
  readonly exitCode: number
  /** Number of the call begun last: of later ones nothing ran. */
  readonly received?: number
  /** It ends itself, as `leftovers` asks. */
  readonly meant?: true
  readonly message?: string
  readonly stack?: string
}

const MAX_MESSAGE_CHARS = 4096
// JSON may need six bytes for a character: 4 Ki + 6 Ki characters stay below the frame's 64 KiB.
const MAX_STACK_CHARS = 6144

/** JSON of FAIL or EXIT, its texts cut so that it fits the frame. */
export function encodeFault(message: FaultMessage | ExitMessage): Buffer {
  const cut = { ...message }
  if (cut.message !== undefined) Object.assign(cut, { message: cut.message.slice(0, MAX_MESSAGE_CHARS) })
  if (cut.stack !== undefined) Object.assign(cut, { stack: cut.stack.slice(0, MAX_STACK_CHARS) })
  return Buffer.from(JSON.stringify(cut))
}

/** Throws ProtocolError. */
export function parseFault(payload: Buffer): FaultMessage {
  const { code, message, stack } = parseObject(payload)
  if (typeof code !== 'string' || !FAULT_CODES.includes(code)) throw new ProtocolError('FAIL with an unknown code')
  if (typeof message !== 'string') throw new ProtocolError('FAIL without a message')
  const fault = { code: code as SandboxFaultCode, message: message.slice(0, MAX_MESSAGE_CHARS) }
  return typeof stack === 'string' ? { ...fault, stack: stack.slice(0, MAX_STACK_CHARS) } : fault
}

/** Throws ProtocolError. */
export function parseExit(payload: Buffer): ExitMessage {
  const { exitCode, received, meant, message, stack } = parseObject(payload)
  if (!Number.isInteger(exitCode)) throw new ProtocolError('EXIT without an exit code')
  return {
    exitCode: (exitCode as number) & 255,
    ...(Number.isInteger(received) ? { received: received as number } : {}),
    ...(meant === true ? { meant } : {}),
    ...(typeof message === 'string' ? { message: message.slice(0, MAX_MESSAGE_CHARS) } : {}),
    ...(typeof stack === 'string' ? { stack: stack.slice(0, MAX_STACK_CHARS) } : {}),
  }
}

function parseObject(payload: Buffer): Record<string, unknown> {
  let value: unknown
  try {
    value = payload.length > MAX_FAULT_BYTES ? null : JSON.parse(payload.toString())
  } catch {
    value = null
  }
  if (typeof value !== 'object' || value === null) throw new ProtocolError('error frame that is not a JSON object')
  return value as Record<string, unknown>
}

/** A whole LOG frame; `line` is without its line feed and was cut by the caller to 16 KiB of UTF-8. */
export function encodeLog(invocation: number, stream: 'stdout' | 'stderr', line: string): Buffer {
  const bytes = Buffer.byteLength(line)
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + 1 + bytes)
  const at = writeFrameHeader(frame, 0, FRAME.LOG, invocation, 1 + bytes)
  frame[at] = stream === 'stdout' ? 1 : 2
  frame.write(line, at + 1)
  return frame
}

/** Throws ProtocolError. */
export function parseLog(payload: Buffer): { readonly stream: 'stdout' | 'stderr'; readonly line: string } {
  const stream = payload[0]
  if (stream !== 1 && stream !== 2) throw new ProtocolError('LOG of an unknown stream')
  if (payload.includes(10)) throw new ProtocolError('LOG with a line feed in its line')
  return { stream: stream === 1 ? 'stdout' : 'stderr', line: payload.toString('utf8', 1) }
}
