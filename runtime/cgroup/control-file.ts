// One kernel control file behind a file descriptor that stays open (a read or write then costs ~1 µs).
// Owns the descriptor and the parsing of numbers out of the read buffer. Knows nothing of any controller.
import { closeSync, constants, existsSync, openSync, readSync, writeSync } from 'node:fs'
import { RuntimeError } from '../errors.ts'

/** Scratch memory for synchronous reads, shared by the control files of one host; holds the last read only. */
export interface ReadBuffer {
  bytes: Buffer
}

/** A buffer large enough for every control file of an ordinary host; it grows when one is larger. */
export function createReadBuffer(): ReadBuffer {
  return { bytes: Buffer.allocUnsafe(8192) }
}

const NEWLINE = 0x0a
const ZERO = 0x30
const NINE = 0x39
const LOWER_M = 0x6d

/** A key of a flat-keyed control file (`usage_usec 12`), prepared for `readFields`. */
export type FieldKey = Buffer

/** `fieldKey('usage_usec')`; make it once, use it for every read. */
export function fieldKey(name: string): FieldKey {
  return Buffer.from(`${name} `, 'latin1')
}

/** One control file. Opened at first use, or by `open`; `close` is final and idempotent. Not for concurrent readers. */
export class ControlFile {
  readonly path: string
  readonly #flags: number
  readonly #buffer: ReadBuffer
  #fd = -1
  #closed = false
  #seen: Buffer | null = null

  constructor(path: string, access: 'read' | 'write' | 'both', buffer: ReadBuffer) {
    this.path = path
    this.#flags = access === 'read' ? constants.O_RDONLY : access === 'write' ? constants.O_WRONLY : constants.O_RDWR
    this.#buffer = buffer
  }

  /** Opens now instead of at first use. Throws the system error. */
  open(): this {
    this.#descriptor()
    return this
  }

  exists(): boolean {
    return existsSync(this.path)
  }

  /** Writes one value. Throws RuntimeError LIMIT_WRITE with path, value and the kernel's answer. */
  write(value: string): void {
    const failure = this.tryWrite(value)
    if (failure !== null) {
      throw new RuntimeError('LIMIT_WRITE', `writing ${JSON.stringify(value)} to ${this.path}: ${failure}`)
    }
  }

  /** Writes one value; returns null, or the errno name (`EBUSY`) with which the kernel refused it. */
  tryWrite(value: string): string | null {
    try {
      writeSync(this.#descriptor(), `${value}\n`, 0, 'latin1')
      return null
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? 'EIO'
    }
  }

  /** The whole content. Throws the system error. */
  readText(): string {
    const length = this.#load()
    return this.#buffer.bytes.toString('latin1', 0, length)
  }

  /** The number the file begins with; `max` is Infinity, nothing is 0. Throws the system error. */
  readNumber(): number {
    const length = this.#load()
    return length > 0 && this.#buffer.bytes[0] === LOWER_M
      ? Number.POSITIVE_INFINITY
      : numberAt(this.#buffer.bytes, 0, length)
  }

  /** The whole content, or null when it is what this read the last time. Throws the system error. */
  readIfChanged(): string | null {
    const length = this.#load()
    const { bytes } = this.#buffer
    if (this.#seen !== null && this.#seen.compare(bytes, 0, length) === 0) return null
    this.#seen = Buffer.from(bytes.subarray(0, length))
    return this.#seen.toString('latin1')
  }

  /** One number of a flat-keyed file; 0 for a missing key. Throws the system error. */
  readField(key: FieldKey): number {
    return fieldIn(this.#buffer.bytes, this.#load(), key)
  }

  /** Numbers of a flat-keyed file, in the order of `keys`; 0 for a missing key. Throws the system error. */
  readFields(keys: readonly FieldKey[]): number[] {
    const length = this.#load()
    return keys.map((key) => fieldIn(this.#buffer.bytes, length, key))
  }

  close(): void {
    this.#closed = true
    if (this.#fd >= 0) closeSync(this.#fd)
    this.#fd = -1
  }

  #descriptor(): number {
    if (this.#fd >= 0) return this.#fd
    if (this.#closed) throw Object.assign(new Error(`control file is closed: ${this.path}`), { code: 'EBADF' })
    this.#fd = openSync(this.path, this.#flags)
    return this.#fd
  }

  #load(): number {
    const fd = this.#descriptor()
    let length = readSync(fd, this.#buffer.bytes, 0, this.#buffer.bytes.length, 0)
    while (length === this.#buffer.bytes.length) {
      this.#buffer.bytes = Buffer.allocUnsafe(length * 2)
      length = readSync(fd, this.#buffer.bytes, 0, this.#buffer.bytes.length, 0)
    }
    return length
  }
}

/** The control file at `path`, opened, or null when this kernel has none. Throws other system errors. */
export function openIfPresent(path: string, access: 'read' | 'write' | 'both', buffer: ReadBuffer): ControlFile | null {
  try {
    return new ControlFile(path, access, buffer).open()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function numberAt(bytes: Buffer, from: number, end: number): number {
  let value = 0
  for (let index = from; index < end; index++) {
    const byte = bytes[index]!
    if (byte < ZERO || byte > NINE) break
    value = value * 10 + (byte - ZERO)
  }
  return value
}

/** A key may also be the tail of a longer one (`pgfault` of `total_pgfault`): only a line's beginning counts. The files are
 *  short, so walking them costs less than a call of a native search. */
function fieldIn(bytes: Buffer, length: number, key: FieldKey): number {
  const first = key[0]
  for (let at = 0; at < length; at++) {
    if (bytes[at] === first && startsWith(bytes, at, key)) return numberAt(bytes, at + key.length, length)
    while (at < length && bytes[at] !== NEWLINE) at++
  }
  return 0
}

function startsWith(bytes: Buffer, at: number, key: FieldKey): boolean {
  for (let index = 1; index < key.length; index++) if (bytes[at + index] !== key[index]) return false
  return true
}
