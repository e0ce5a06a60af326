// What the function prints: process.stdout and process.stderr become lines that carry their invocation's number.
// Lines leave at once (a call that hangs afterwards keeps its output), and block like Node's own pipes when nobody reads.

import { MAX_LINE_BYTES } from '../protocol/frames.ts'
import { encodeLog } from '../protocol/messages.ts'
import { nextTick, StringDecoder, Writable } from './builtins.ts'
import { cutOwnFrames, describeError } from './describe-error.ts'
import type { Outbox } from './outbox.ts'

export type OutputName = 'stdout' | 'stderr'

/** The unfinished lines of one invocation (or of the process, outside of any). */
export class PartialLines {
  stdout = ''
  stderr = ''
}

/** Where printed text belongs: an invocation's number and its unfinished lines. */
export interface OutputOwner {
  readonly id: number
  readonly lines: PartialLines
  /** Nothing ends its last line for it any more: a piece of a line is sent as it is. */
  readonly over: boolean
}

/** Replaces process.stdout and process.stderr. `owner` says whose text it is, at the moment of the write. */
export function installOutput(outbox: Outbox, owner: () => OutputOwner): void {
  const streams = { stdout: createStream('stdout', 1, outbox, owner), stderr: createStream('stderr', 2, outbox, owner) }
  for (const name of ['stdout', 'stderr'] as const) {
    Object.defineProperty(process, name, { get: () => streams[name], configurable: true, enumerable: true })
  }
}

/** An error into the log, without a look at what the code has made of `console`. Never throws. */
export function printError(label: string, error: unknown): void {
  const { message, stack } = describeError(error)
  try {
    process.stderr.write(`${label} ${stack ?? message}\n`)
  } catch {
    // The code has put a stream of its own in its place.
  }
}

/** Sends the unfinished lines; before END and IDLE of an invocation. */
export function flushLines(outbox: Outbox, owner: OutputOwner): void {
  const { lines, id } = owner
  if (lines.stdout !== '') outbox.raw(encodeLog(id, 'stdout', cutLine(lines.stdout)))
  if (lines.stderr !== '') outbox.raw(encodeLog(id, 'stderr', cutLine(lines.stderr)))
  lines.stdout = ''
  lines.stderr = ''
}

function createStream(name: OutputName, fd: number, outbox: Outbox, owner: () => OutputOwner): NodeJS.WritableStream {
  const decoder = new StringDecoder('utf8')
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string | Buffer, encoding, done) {
      const text =
        typeof chunk !== 'string'
          ? decoder.write(chunk)
          : encoding === 'utf8'
            ? chunk
            : decoder.write(Buffer.from(chunk, encoding))
      print(outbox, owner(), name, text)
      done()
    },
  })
  // Like Node's: it never closes, and says which descriptor it stands for.
  return Object.assign(stream, { fd, _isStdio: true, destroy: () => stream, end: () => stream })
}

function print(outbox: Outbox, owner: OutputOwner, name: OutputName, printed: string): void {
  // An error printed whole comes in one piece.
  const text = cutOwnFrames(printed)
  let from = 0
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', from)) {
    outbox.raw(encodeLog(owner.id, name, cutLine(owner.lines[name] + text.slice(from, at))))
    owner.lines[name] = ''
    from = at + 1
  }
  // A line that never ends is kept only as far as it will be shown.
  if (owner.lines[name].length <= MAX_LINE_BYTES) owner.lines[name] += text.slice(from, from + MAX_LINE_BYTES + 1)
  if (from > 0) outbox.flushNow()
  if (owner.over && owner.lines[name] !== '') nextTick(() => flushLines(outbox, owner))
}

const CUT_MARK = ' … [cut]'

/** At most 16 KiB of UTF-8. */
function cutLine(line: string): string {
  // A UTF-16 unit is at most three bytes.
  if (line.length * 3 <= MAX_LINE_BYTES || Buffer.byteLength(line) <= MAX_LINE_BYTES) return line
  // A character cut in half decodes to a replacement mark of three bytes: leave room for it.
  const kept = Buffer.from(line).subarray(0, MAX_LINE_BYTES - Buffer.byteLength(CUT_MARK) - 3)
  return kept.toString() + CUT_MARK
}
