// Owns reading a tar (POSIX ustar with pax and GNU long names) as it streams in: one member at a time, its raw blocks kept so
// that it can be copied unchanged. Checks form and names; writes nothing and knows nothing of functions.
import type { Readable } from 'node:stream'
import { WorkerError } from '../../worker/api.ts'

export const BLOCK_BYTES = 512
/** Highest size of a pax or long-name record. */
const RECORD_BYTES = 64 * 1024

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
      const header = await this.#take(BLOCK_BYTES, blocks.length === 0)
      if (header === null || (blocks.length === 0 && header.every((byte) => byte === 0))) return null
      checkHeader(header)
      const size = sizeOf(header)
      blocks.push(header)
      const flag = String.fromCharCode(header[156]!)
      if (flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K') {
        if (size > RECORD_BYTES) throw invalid('an extended header is too large')
        const record = (await this.#take(padded(size)))!
        blocks.push(record)
        readRecord(flag, record.subarray(0, size), long)
        continue
      }
      this.#left = size
      this.#padding = padded(size) - size
      const name = checkName(long.path || nameOf(header))
      const linkName = long.linkpath || textOf(header, 157, 100)
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

  /** Reads on to the end of the stream: tars are padded. */
  async drain(): Promise<void> {
    while (!(await this.#chunks.next()).done);
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

  async #take(bytes: number, mayEnd = false): Promise<Buffer | null> {
    while (this.#buffer.length < bytes) {
      if (await this.#fill()) continue
      if (mayEnd && this.#buffer.length === 0) return null
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
  else if (flag === 'x') readPax(record, long)
}

/** pax: `length key=value\n`, the length in bytes and counting itself. */
function readPax(record: Buffer, long: { path: string; linkpath: string }): void {
  let offset = 0
  while (offset < record.length) {
    const space = record.indexOf(32, offset)
    const length = Number(record.toString('latin1', offset, space))
    if (space < 0 || !Number.isInteger(length) || length < 5 || offset + length > record.length)
      throw invalid('an extended header is malformed')
    const line = record.toString('utf8', space + 1, offset + length - 1)
    const equals = line.indexOf('=')
    const key = line.slice(0, equals)
    if (key === 'path' || key === 'linkpath') long[key] = line.slice(equals + 1)
    else if (key === 'size') throw invalid('a member is too large')
    offset += length
  }
}

function typeOf(flag: string, name: string): MemberType {
  if (flag === '0' || flag === '\0') return 'file'
  if (flag === '5') return 'directory'
  if (flag === '2') return 'symlink'
  throw invalid(`${name} is neither a file, a folder nor a symbolic link`)
}

function checkName(name: string): string {
  const parts = name.replace(/\/$/, '').split('/')
  if (name === '' || name.startsWith('/') || name.includes('\0') || name.includes('\\') || parts.includes('..'))
    throw invalid(`${JSON.stringify(name.slice(0, 200))} is not a safe member name`)
  return name
}
