// Owns reading a tar (POSIX ustar with pax and GNU long names) as it streams in: one member at a time, its raw blocks kept so
// that it can be copied unchanged. Checks form and names; writes nothing and knows nothing of functions.
import type { Readable } from 'node:stream'
import { WorkerError } from '../../worker/api.ts'

export const BLOCK_BYTES = 512
/** Highest size of a pax or long-name record. */
const RECORD_BYTES = 64 * 1024
/** Most blocks before a member's own header. */
const MOST_EXTENSIONS = 16
/** Most members, as the image store takes. */
const MOST_MEMBERS = 100_000
/** Longest name, and longest part of one (NAME_MAX), bytes: what the file systems below take. */
const NAME_BYTES = 2048
const PART_BYTES = 255

export type MemberType = 'file' | 'directory' | 'symlink'

export interface Member {
  readonly name: string
  readonly type: MemberType
  readonly linkName: string
  readonly size: number
  /** The header and what extends it, as they came. */
  readonly headerBlocks: Buffer
}

/** Takes members off a stream of tar bytes. Throws WorkerError DEPLOY_INVALID for what is not a tar, or not a safe one; errors of the
 *  stream come through. */
export class TarReader {
  readonly #chunks: AsyncIterator<Buffer>
  #buffer: Buffer = Buffer.alloc(0)
  /** Bytes of the current member's body and padding that nobody took yet. */
  #left = 0
  #padding = 0
  #members = 0
  #ended = false

  constructor(stream: Readable) {
    this.#chunks = stream[Symbol.asyncIterator]()
  }

  /** The next member, or null at the end. Skips what was not read of the one before. */
  async next(): Promise<Member | null> {
    await this.#skip(this.#left + this.#padding)
    this.#left = 0
    this.#padding = 0
    const blocks: Buffer[] = []
    const long = { path: '', linkpath: '' }
    for (;;) {
      const header = await this.#take(BLOCK_BYTES)
      if (blocks.length === 0 && isZero(header)) {
        this.#ended = true
        return null
      }
      checkHeader(header)
      const size = sizeOf(header)
      blocks.push(header)
      const flag = String.fromCharCode(header[156]!)
      if (flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K') {
        if (size > RECORD_BYTES) throw invalid('an extended header is too large')
        const record = await this.#take(padded(size))
        if (blocks.push(record) > MOST_EXTENSIONS) throw invalid('a member has too many extended headers')
        readRecord(flag, record.subarray(0, size), long)
        continue
      }
      if (++this.#members > MOST_MEMBERS) throw invalid(`the tar has more than ${MOST_MEMBERS} members`)
      this.#left = size
      this.#padding = padded(size) - size
      const name = checkName(long.path || nameOf(header))
      const linkName = long.linkpath || textOf(header, 157, 100)
      if (UNSAFE.test(linkName)) throw invalid(`${JSON.stringify(name)} has no safe link name`)
      return { name, type: typeOf(flag, name), linkName, size, headerBlocks: Buffer.concat(blocks) }
    }
  }

  /** The current member's body, at most `highest` bytes. */
  async body(name: string, highest: number): Promise<Buffer> {
    if (this.#left > highest) throw invalid(`${name} is ${this.#left} bytes; at most ${highest} are taken`)
    const chunks: Buffer[] = []
    await this.copy((chunk) => {
      chunks.push(chunk)
    })
    return Buffer.concat(chunks)
  }

  /** Hands over the current member's body piece by piece. */
  async copy(write: (chunk: Buffer) => void | Promise<void>): Promise<void> {
    while (this.#left > 0) {
      if (this.#buffer.length === 0 && !(await this.#fill())) throw invalid('the tar ends in the middle of a member')
      const chunk = this.#buffer.subarray(0, this.#left)
      this.#buffer = this.#buffer.subarray(chunk.length)
      this.#left -= chunk.length
      await write(chunk)
    }
  }

  /** Reads on from the tar's end to the end of the stream: zeros, for tars are padded. */
  async drain(): Promise<void> {
    if (!this.#ended) throw new TypeError('drain before the end of the tar')
    for (let rest = this.#buffer; ; ) {
      if (!isZero(rest)) throw invalid('something follows the end of the tar')
      const { value, done } = await this.#chunks.next()
      if (done) return
      rest = value
    }
  }

  /** Lets go of the stream. */
  async close(): Promise<void> {
    await this.#chunks.return?.()
  }

  async #fill(): Promise<boolean> {
    const { value, done } = await this.#chunks.next()
    if (done) return false
    this.#buffer = this.#buffer.length === 0 ? value : Buffer.concat([this.#buffer, value])
    return true
  }

  async #take(bytes: number): Promise<Buffer> {
    while (this.#buffer.length < bytes) {
      if (await this.#fill()) continue
      throw invalid('the upload is not a tar, or ends too early')
    }
    const taken = this.#buffer.subarray(0, bytes)
    this.#buffer = this.#buffer.subarray(bytes)
    return taken
  }

  async #skip(bytes: number): Promise<void> {
    let left = bytes
    while (left > 0) {
      if (this.#buffer.length === 0 && !(await this.#fill())) throw invalid('the tar ends in the middle of a member')
      const skipped = Math.min(left, this.#buffer.length)
      this.#buffer = this.#buffer.subarray(skipped)
      left -= skipped
    }
  }
}

function invalid(message: string): WorkerError {
  return new WorkerError('DEPLOY_INVALID', message)
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0)
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
}

function checkHeader(header: Buffer): void {
  let sum = 0
  for (let index = 0; index < BLOCK_BYTES; index++) sum += index >= 148 && index < 156 ? 32 : header[index]!
  if (Number.parseInt(textOf(header, 148, 8).trim(), 8) !== sum) throw invalid('the upload is not a tar')
}

function sizeOf(header: Buffer): number {
  const text = textOf(header, 124, 12).trim()
  if (!/^[0-7]{1,11}$/.test(text)) throw invalid('a member has no valid size')
  return Number.parseInt(text, 8)
}

function nameOf(header: Buffer): string {
  const name = textOf(header, 0, 100)
  const prefix = textOf(header, 257, 5) === 'ustar' ? textOf(header, 345, 155) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

function textOf(header: Buffer, start: number, length: number): string {
  const field = header.subarray(start, start + length)
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end < 0 ? length : end)
}

function readRecord(flag: string, record: Buffer, long: { path: string; linkpath: string }): void {
  const text = record.toString('utf8')
  if (flag === 'L') long.path = text.replace(/\0.*$/s, '')
  else if (flag === 'K') long.linkpath = text.replace(/\0.*$/s, '')
  else readPax(record, flag === 'x' ? long : null)
}

/** pax: `length key=value\n`, the length in bytes and counting itself. `long` is null for a global one, which may name nothing. */
function readPax(record: Buffer, long: { path: string; linkpath: string } | null): void {
  let offset = 0
  while (offset < record.length) {
    const space = record.indexOf(32, offset)
    const digits = space < 0 ? '' : record.toString('latin1', offset, space)
    const length = /^\d{1,6}$/.test(digits) ? Number(digits) : 0
    if (length < 5 || offset + length > record.length || record[offset + length - 1] !== 10)
      throw invalid('an extended header is malformed')
    const line = record.toString('utf8', space + 1, offset + length - 1)
    const equals = line.indexOf('=')
    const key = line.slice(0, equals)
    const names = key === 'path' || key === 'linkpath'
    if (names && long !== null) long[key] = line.slice(equals + 1)
    else if (names) throw invalid('a global header names a member')
    else if (key === 'size') throw invalid('a member is too large')
    else if (key.startsWith('GNU.sparse.')) throw invalid('sparse members are not taken')
    offset += length
  }
}

function typeOf(flag: string, name: string): MemberType {
  if (flag === '0' || flag === '\0') return 'file'
  if (flag === '5') return 'directory'
  if (flag === '2') return 'symlink'
  throw invalid(`${name} is neither a file, a folder nor a symbolic link`)
}

const UNSAFE = /[\p{Cc}\ufffd\\]/u

function checkName(name: string): string {
  const parts = name.replace(/\/$/, '').split('/')
  const shown = JSON.stringify(name.slice(0, 200))
  // What is no UTF-8 came as U+FFFD, and two names could have become one.
  if (name === '' || name.startsWith('/') || UNSAFE.test(name) || parts.includes('..'))
    throw invalid(`${shown} is not a safe member name`)
  if (Buffer.byteLength(name) > NAME_BYTES || parts.some((part) => Buffer.byteLength(part) > PART_BYTES))
    throw invalid(`${shown} is too long for a member name`)
  return name
}
