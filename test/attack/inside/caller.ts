// Makes any system call from inside a sandbox, past Node and the C library: writes a static program of 265 bytes of code
// (its source: caller.s) to /tmp and feeds it calls. x86_64 only. Inside a sandbox only.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'

/** A number, text (a pointer to it, NUL at its end), `{room}` bytes of zeroes, `{result}` of an earlier call, `{words}` of 64 bits,
 *  `{hex}` bytes, or a `{message}` for sendmsg(2): bytes that carry descriptors (SCM_RIGHTS). */
export type CallArgument =
  | number
  | string
  | { room: number }
  | { result: number }
  | { words: readonly number[] }
  | { hex: string }
  | { message: { hex: string; descriptors: readonly number[] } }

/** What the program finds open besides its own three: the wire, stdout and stderr of the process that starts it. */
export const INHERITED = { wire: 3, stdout: 4, stderr: 5 } as const

export interface KernelCall {
  readonly number: number
  readonly arguments: readonly CallArgument[]
  /** Made with `int 0x80`, as a program for i386 would. */
  readonly i386?: boolean
}

/** In place of a call: the `calls` before it once more, until one fails or they were made `times` times. Comes to `ok` or to the
 *  error of the first that failed. */
export interface Again {
  readonly again: {
    readonly calls: number
    readonly times: number
    /** Added each time to the first argument of the first of them. */
    readonly step?: number
  }
}

export interface CallsOutcome {
  /** Of each call: `ok` or the name of its error; shorter than the calls when the program was killed. */
  readonly results: readonly string[]
  /** What killed the program, or null. */
  readonly signal: string | null
  /** Bytes it wrote before the results. */
  readonly output: string
}

const CODE =
  'QbwAAAEQMcAx/0yJ5roAAAEADwVIhcB+BUkBxOvouwAAARBMiytIg8MIQb4AgAAQTYXtD4SwAAAASIM7AnRWTIt7QLkFAAAASItEyxBJ' +
  'D6PPcwhIiwTFAIAAEFD/yXnoSItDCF9eWkFaQVhBWUiDOwB1BA8F6w5TifGJ+0SJ1kSJx82AW0mJBkmDxghIg8NISf/N65tIi0sITIn2' +
  'MdJIg+4ISIsGSIXASA9I0Ej/yXXtSInQSIXAeMxI/0MYSItDGEg7QxBzvkiLSyhIi0MgSAEEC0iLSwhJAc1JifZIa8lISCnL6Uf///9M' +
  'ifK+AIAAEEgp8r8BAAAAuAEAAAAPBbjnAAAAMf8PBQ=='

// Addresses the program knows: code, then results, then what it reads.
const BASE = 0x1000_0000
/** Where its input lies: readable memory for calls that want some. */
export const INPUT = 0x1001_0000
const MEMORY_BYTES = 0x20_0000
const ELF_HEADERS_BYTES = 120
const WORDS_OF_CALL = 9

const ERRORS = new Map(Object.entries(constants.errno).map(([name, number]) => [number as number, name]))

/** Makes the calls one after the other, in one process of its own. */
export function makeCalls(calls: readonly (KernelCall | Again)[]): CallsOutcome {
  const stdio = ['pipe', 'pipe', 'pipe', 3, 1, 2] as const
  const child = spawnSync(programPath(), {
    input: encode(calls),
    timeout: 5000,
    maxBuffer: 1024 ** 2,
    stdio: [...stdio],
  })
  if (child.error !== undefined && child.signal === null) throw child.error
  const resultBytes = child.signal === null ? calls.length * 8 : 0
  const at = child.stdout.length - resultBytes
  const results: string[] = []
  for (let index = 0; index < resultBytes; index += 8) {
    const value = child.stdout.readBigInt64LE(at + index)
    results.push(value < 0n && value > -4096n ? (ERRORS.get(Number(-value)) ?? `errno ${-value}`) : 'ok')
  }
  return { results, signal: child.signal, output: child.stdout.toString('latin1', 0, at) }
}

/** The same beside others, for what is held while it runs; what came of it is not told. */
export function startCalls(calls: readonly (KernelCall | Again)[]): ChildProcess {
  const child = spawn(programPath(), [], { stdio: ['pipe', 'ignore', 'ignore'] })
  child.stdin.on('error', () => {}).end(encode(calls))
  return child
}

function programPath(): string {
  const path = '/tmp/caller'
  if (!existsSync(path)) {
    writeFileSync(path, program())
    chmodSync(path, 0o755)
  }
  return path
}

/** ELF64, one segment that may be read, written and run. */
function program(): Buffer {
  const code = Buffer.from(CODE, 'base64')
  const file = Buffer.alloc(ELF_HEADERS_BYTES + code.length)
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  file.writeUInt16LE(2, 16) // executable
  file.writeUInt16LE(62, 18) // x86_64
  file.writeUInt32LE(1, 20)
  file.writeBigUInt64LE(BigInt(BASE + ELF_HEADERS_BYTES), 24) // entry
  file.writeBigUInt64LE(64n, 32) // program header
  file.writeUInt16LE(64, 52)
  file.writeUInt16LE(56, 54)
  file.writeUInt16LE(1, 56)
  file.writeUInt32LE(1, 64) // load
  file.writeUInt32LE(7, 68) // read, write, run
  file.writeBigUInt64LE(BigInt(BASE), 80)
  file.writeBigUInt64LE(BigInt(BASE), 88)
  file.writeBigUInt64LE(BigInt(file.length), 96)
  file.writeBigUInt64LE(BigInt(MEMORY_BYTES), 104)
  file.writeBigUInt64LE(4096n, 112)
  code.copy(file, ELF_HEADERS_BYTES)
  return file
}

/** Count, then per call: i386 or not (2: again), number, six arguments, which of them are results of earlier calls; then their data. */
function encode(calls: readonly (KernelCall | Again)[]): Buffer {
  const words = new BigUint64Array(1 + calls.length * WORDS_OF_CALL)
  words[0] = BigInt(calls.length)
  const blobs: Buffer[] = []
  let free = INPUT + words.byteLength
  const place = (blob: Buffer): number => {
    const at = free
    blobs.push(blob)
    free += blob.length
    return at
  }
  calls.forEach((call, index) => {
    const at = 1 + index * WORDS_OF_CALL
    if ('again' in call) {
      const { calls, times, step = 0 } = call.again
      const argument = 16 - calls * WORDS_OF_CALL * 8
      words.set(
        [2n, calls, times, 0, step, argument].map((word) => BigInt.asUintN(64, BigInt(word))),
        at,
      )
      return
    }
    words[at] = call.i386 === true ? 1n : 0n
    words[at + 1] = BigInt(call.number)
    call.arguments.forEach((argument, nth) => {
      if (typeof argument === 'object' && 'result' in argument) words[at + 8]! |= 1n << BigInt(nth)
      words[at + 2 + nth] = BigInt.asUintN(64, BigInt(wordOf(argument, place)))
    })
  })
  return Buffer.concat([Buffer.from(words.buffer), ...blobs])
}

const SOL_SOCKET = 1
const SCM_RIGHTS = 1

/** struct msghdr of one struct iovec, with one struct cmsghdr (cmsg(3)). */
function placeMessage(bytes: Buffer, descriptors: readonly number[], place: (blob: Buffer) => number): number {
  const control = Buffer.alloc(16 + Math.ceil(descriptors.length / 2) * 8)
  control.writeBigUInt64LE(BigInt(16 + descriptors.length * 4), 0)
  control.writeUInt32LE(SOL_SOCKET, 8)
  control.writeUInt32LE(SCM_RIGHTS, 12)
  for (const [nth, fd] of descriptors.entries()) control.writeInt32LE(fd, 16 + nth * 4)
  const words = (...values: number[]) => Buffer.from(new BigUint64Array(values.map(BigInt)).buffer)
  const vector = place(words(place(bytes), bytes.length))
  return place(words(0, 0, vector, 1, place(control), control.length, 0))
}

function wordOf(argument: CallArgument, place: (blob: Buffer) => number): number {
  if (typeof argument === 'number') return argument
  if (typeof argument === 'object' && 'hex' in argument) return place(Buffer.from(argument.hex, 'hex'))
  if (typeof argument === 'object' && 'message' in argument) {
    const { hex, descriptors } = argument.message
    return placeMessage(Buffer.from(hex, 'hex'), descriptors, place)
  }
  if (typeof argument === 'string') return place(Buffer.from(`${argument}\0`, 'latin1'))
  if ('result' in argument) return argument.result
  if ('room' in argument) return place(Buffer.alloc(argument.room))
  return place(Buffer.from(new BigUint64Array(argument.words.map((word) => BigInt.asUintN(64, BigInt(word)))).buffer))
}
