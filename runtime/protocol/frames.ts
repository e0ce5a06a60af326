// The frames between host and sandbox: their types, sizes and encoding. Shared by both ends; imports nothing.
// It knows no sockets and no order of frames: those belong to sandbox/channel.ts and bootstrap/.
//
//    0        4      5            9                9 + length
//    ┌────────┬──────┬────────────┬───── … ────────┐
//    │ length │ type │ invocation │ payload        │   integers little-endian; length counts the payload only
//    │ u32    │ u8   │ u32        │ ≤ 256 KiB      │   invocation 0 = the sandbox itself (boot, load)
//    └────────┴──────┴────────────┴───── … ────────┘
//
//    host                                  sandbox
//      │ ◀──────────────────────────── READY │   booted
//      │ ◀──────────────────────────── IDLE  │   prepared all it can without code, invocation 0; not if INIT came first
//      │ INIT sizes, DATA*, END ───────────▶ │   configuration, code and its code cache, invocation 0
//      │ ◀──────────── LOG* LOADED or FAIL   │
//      │ INVOKE head (+ body) ─────────────▶ │   flag END: the body is complete
//      │ DATA* END ─────────▶ ◀──── CREDIT*  │   at most 64 KiB ahead of what was consumed, each way
//      │ ◀──── STARTED LOG* HEAD DATA* END   │   flags on HEAD: STARTED, END, IDLE ride with it
//      │ CREDIT* ──────────▶                 │
//      │ CANCEL ───────────▶                 │   any time; the handler may still finish
//      │ ◀────────────────── FAIL            │   instead of END (before or after HEAD)
//      │ ◀──────────────────────────── IDLE  │   every waitUntil promise has settled
//      │ CACHE most bytes ─────────────────▶ │   between calls: V8's code cache of what was loaded, please
//      │ ◀────────────────────── DATA* END   │   invocation 0; no DATA: there is none, or it is too large
//      │ ◀──────────────────────────── EXIT  │   the process is about to end by itself

/** Bytes before a payload. */
export const FRAME_HEADER_BYTES = 9
/** Largest payload of any frame. */
export const MAX_PAYLOAD_BYTES = 256 * 1024
/** Largest head (request or response line, headers) in a frame. */
export const MAX_HEAD_BYTES = 64 * 1024
/** Bytes of body a side may send ahead of what the other has consumed, per invocation and direction. */
export const WINDOW_BYTES = 64 * 1024
/** Largest single output line that travels; longer ones are cut by the sender. */
export const MAX_LINE_BYTES = 16 * 1024
/** Largest error text (JSON of FAIL and EXIT). */
export const MAX_FAULT_BYTES = 64 * 1024

/** Frame types. DATA, END and CREDIT go both ways. */
export const FRAME = {
  INIT: 1,
  INVOKE: 2,
  CANCEL: 3,
  CACHE: 4,
  DATA: 8,
  END: 9,
  CREDIT: 10,
  READY: 16,
  LOADED: 17,
  STARTED: 18,
  HEAD: 19,
  IDLE: 20,
  FAIL: 21,
  LOG: 22,
  EXIT: 23,
} as const
export type FrameType = (typeof FRAME)[keyof typeof FRAME]

/** Bits of the first payload byte of INVOKE and HEAD (END and IDLE mean: nothing of that kind follows), and of END. */
export const FLAG = {
  /** the body in this frame is all of it */
  END: 1,
  /** the code began to run (HEAD only) */
  STARTED: 2,
  /** all background work is done too (HEAD only, with END) */
  IDLE: 4,
  /** on a DATA stream's END: it broke off, the body is incomplete */
  ABORTED: 8,
  /** the process was frozen since the call before (INVOKE only) */
  THAWED: 16,
} as const

/** Largest payload per type; a type that is missing may not be sent in that direction. */
export type FrameLimits = Readonly<Partial<Record<number, number>>>

/** What the sandbox accepts from the host. */
export const HOST_FRAMES: FrameLimits = Object.freeze({
  [FRAME.INIT]: 12,
  [FRAME.INVOKE]: 5 + MAX_HEAD_BYTES + WINDOW_BYTES,
  [FRAME.CANCEL]: 1,
  [FRAME.CACHE]: 4,
  [FRAME.DATA]: MAX_PAYLOAD_BYTES,
  [FRAME.END]: 1,
  [FRAME.CREDIT]: 4,
})

/** What the host accepts from the sandbox. */
export const SANDBOX_FRAMES: FrameLimits = Object.freeze({
  [FRAME.DATA]: WINDOW_BYTES,
  [FRAME.END]: 0,
  [FRAME.CREDIT]: 4,
  [FRAME.READY]: 0,
  [FRAME.LOADED]: 0,
  [FRAME.STARTED]: 0,
  [FRAME.HEAD]: 5 + MAX_HEAD_BYTES + WINDOW_BYTES,
  [FRAME.IDLE]: 0,
  [FRAME.FAIL]: MAX_FAULT_BYTES,
  [FRAME.LOG]: 1 + MAX_LINE_BYTES,
  [FRAME.EXIT]: MAX_FAULT_BYTES,
})

/** The other side broke the protocol; the connection is unusable from here on. */
export class ProtocolError extends Error {
  readonly code = 'PROTOCOL'
  constructor(message: string) {
    super(message)
    this.name = 'ProtocolError'
  }
}

/** Name of a frame type for messages, e.g. `HEAD`, or `type 77`. */
export function frameName(type: number): string {
  for (const [name, value] of Object.entries(FRAME)) if (value === type) return name
  return `type ${type}`
}

/** Writes the nine header bytes at `offset` and returns the offset after them. */
export function writeFrameHeader(
  into: Uint8Array,
  offset: number,
  type: number,
  invocation: number,
  length: number,
): number {
  writeU32(into, offset, length)
  into[offset + 4] = type
  writeU32(into, offset + 5, invocation)
  return offset + FRAME_HEADER_BYTES
}

/** One whole frame as a new buffer. `payload` is copied. */
export function encodeFrame(type: number, invocation: number, payload?: Uint8Array): Buffer {
  const length = payload === undefined ? 0 : payload.length
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + length)
  writeFrameHeader(frame, 0, type, invocation, length)
  if (payload !== undefined) frame.set(payload, FRAME_HEADER_BYTES)
  return frame
}

/** A CREDIT frame for `bytes` of consumed body. */
export function encodeCredit(invocation: number, bytes: number): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + 4)
  writeU32(frame, writeFrameHeader(frame, 0, FRAME.CREDIT, invocation, 4), bytes)
  return frame
}

/** Reads an unsigned 32-bit little-endian integer; the caller has checked the bounds. */
export function readU32(from: Uint8Array, offset: number): number {
  return (from[offset]! | (from[offset + 1]! << 8) | (from[offset + 2]! << 16) | (from[offset + 3]! << 24)) >>> 0
}

/** Writes an unsigned 32-bit little-endian integer; the caller has checked the bounds. */
export function writeU32(into: Uint8Array, offset: number, value: number): void {
  into[offset] = value & 255
  into[offset + 1] = (value >>> 8) & 255
  into[offset + 2] = (value >>> 16) & 255
  into[offset + 3] = value >>> 24
}
