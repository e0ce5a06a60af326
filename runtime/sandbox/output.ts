// Native output of a sandbox: what its process and its children write to stdout and stderr, as bounded lines.
// A flood holds the writer back, never the platform. Whose line it is, is decided by whoever set the sink.
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import type { CallSink, Clock } from '../api.ts'

/** A longer line is cut into pieces of this size. */
const LINE_MAX_CHARS = 16 * 1024
/** Per stream and window; what is read above it is paid back by not reading in the windows that follow. */
const WINDOW_BYTES = 512 * 1024
const WINDOW_MS = 100
/** What handling a line costs beside its bytes. */
const LINE_COST_BYTES = 128
const TAIL_MAX_CHARS = 8 * 1024

export interface OutputOptions {
  readonly clock: Clock
  /** Receives each line. A line on which it throws is lost, and no other. */
  readonly onLine: CallSink['log']
  /** Told of what `onLine` threw, once. */
  readonly onBug?: (error: unknown) => void
  /** Called before anything that was read is handled. */
  readonly handling?: () => void
}

export interface Output {
  /** The last characters of stderr, for finding out why a process ended. */
  stderrTail(): string
  /** Resolves when both streams have ended: every writer inside is dead. */
  readonly ended: Promise<void>
  /** Stops reading and closes both. */
  close(): void
}

/** Takes over both streams. */
export function readOutput(stdout: Readable, stderr: Readable, given: OutputOptions): Output {
  const options = { ...given, onLine: guarded(given) }
  let tail = ''
  const onError = (text: string) => {
    tail = (tail + text).slice(-TAIL_MAX_CHARS)
  }
  const out = readStream(stdout, options, 'stdout', () => {})
  const err = readStream(stderr, options, 'stderr', onError)
  return {
    stderrTail: () => tail,
    ended: Promise.all([out.ended, err.ended]).then(() => {}),
    close: () => {
      out.close()
      err.close()
    },
  }
}

/** CONTRACT: nothing that comes from inside ends the process: `data` events have nobody else to catch what is thrown. */
function guarded({ onLine, onBug }: OutputOptions): CallSink['log'] {
  let told = false
  return (stream, line) => {
    try {
      onLine(stream, line)
    } catch (error) {
      if (!told) onBug?.(error)
      told = true
    }
  }
}

function readStream(
  stream: Readable,
  options: OutputOptions,
  name: 'stdout' | 'stderr',
  onText: (text: string) => void,
): { readonly ended: Promise<void>; close(): void } {
  const decoder = new StringDecoder('utf8')
  let partial = ''
  let spentBytes = 0
  let cancelWindow: (() => void) | null = null
  const nextWindow = () => {
    spentBytes = Math.max(0, spentBytes - WINDOW_BYTES)
    cancelWindow = spentBytes === 0 ? null : options.clock.after(WINDOW_MS, nextWindow)
    if (spentBytes <= WINDOW_BYTES) stream.resume()
  }
  const flush = () => {
    if (partial !== '') options.onLine(name, partial)
    partial = ''
  }
  stream.on('data', (chunk: Buffer) => {
    options.handling?.()
    const text = decoder.write(chunk)
    onText(text)
    const pieces = (partial + text).split('\n')
    partial = pieces.pop() ?? ''
    for (const line of pieces) emitCut(line, name, options.onLine)
    while (partial.length > LINE_MAX_CHARS) {
      options.onLine(name, partial.slice(0, LINE_MAX_CHARS))
      partial = partial.slice(LINE_MAX_CHARS)
    }
    spentBytes += chunk.length + pieces.length * LINE_COST_BYTES
    cancelWindow ??= options.clock.after(WINDOW_MS, nextWindow)
    if (spentBytes > WINDOW_BYTES) stream.pause()
  })
  const ended = new Promise<void>((resolve) => {
    const finish = () => {
      flush()
      resolve()
    }
    stream.once('end', finish)
    // `close` follows.
    stream.on('error', () => {})
    stream.once('close', finish)
  })
  const close = () => {
    cancelWindow?.()
    stream.destroy()
  }
  return { ended, close }
}

function emitCut(line: string, name: 'stdout' | 'stderr', onLine: CallSink['log']): void {
  for (let start = 0; start === 0 || start < line.length; start += LINE_MAX_CHARS) {
    onLine(name, line.slice(start, start + LINE_MAX_CHARS))
  }
}
