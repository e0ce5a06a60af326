// Native output of a sandbox: what its process and its children write to stdout and stderr, as bounded lines.
// A flood or a trickle holds the writer back, never the platform: each read is charged at what it costs the host. The owner of the
// sink decides whose line it is.
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import type { CallSink, Clock } from '../api.ts'
import { LineSplitter } from './line-splitter.ts'
import { LINE_COST_BYTES, OUTPUT_READ_COST_BYTES, ReadBudget } from './read-budget.ts'

const TAIL_MAX_CHARS = 8 * 1024

export interface OutputOptions {
  readonly clock: Clock
  /** Receives each line. A line on which it throws is lost, and no other. */
  readonly onLine: CallSink['log']
  /** Called once with what `onLine` threw. */
  readonly onBug?: (error: unknown) => void
  /** Called before anything that was read is handled. */
  readonly handling?: () => void
}

export interface Output {
  /** The last characters of stderr, for finding out why a process ended. */
  stderrTail(): string
  /** Resolves when both streams have ended: every writer inside is dead. */
  readonly ended: Promise<void>
  /** From now on what comes is also charged to the budget of its group. */
  share(budget: ReadBudget): void
  /** Stops reading and closes both. */
  close(): void
}

/** Takes over both streams. */
export function readOutput(stdout: Readable, stderr: Readable, given: OutputOptions): Output {
  const options = { ...given, onLine: guarded(given) }
  const budget = new ReadBudget(given.clock)
  let tail = ''
  const onError = (text: string) => {
    tail += text
    // Not each time: a byte more must not copy all that was there.
    if (tail.length > 2 * TAIL_MAX_CHARS) tail = tail.slice(-TAIL_MAX_CHARS)
  }
  const out = readStream(stdout, options, budget, 'stdout', () => {})
  const err = readStream(stderr, options, budget, 'stderr', onError)
  return {
    stderrTail: () => tail.slice(-TAIL_MAX_CHARS),
    share: (shared) => budget.share(shared),
    ended: Promise.all([out.ended, err.ended]).then(() => {}),
    close: () => {
      out.close()
      err.close()
    },
  }
}

/** CONTRACT: nothing that comes from inside ends the process: nothing else catches what a `data` event throws. */
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
  { clock, onLine, handling }: OutputOptions,
  budget: ReadBudget,
  name: 'stdout' | 'stderr',
  onText: (text: string) => void,
): { readonly ended: Promise<void>; close(): void } {
  const decoder = new StringDecoder('utf8')
  const lines = new LineSplitter((line) => onLine(name, line))
  let cancelPause: (() => void) | null = null
  const goOn = () => {
    cancelPause = null
    stream.resume()
  }
  stream.on('data', (chunk: Buffer) => {
    handling?.()
    const text = decoder.write(chunk)
    onText(text)
    const given = lines.push(text)
    budget.charge(Math.max(chunk.length, OUTPUT_READ_COST_BYTES) + given * LINE_COST_BYTES)
    const pauseMs = budget.pauseMs()
    if (pauseMs === 0 || cancelPause !== null) return
    stream.pause()
    cancelPause = clock.after(pauseMs, goOn)
  })
  const ended = new Promise<void>((resolve) => {
    const finish = () => {
      lines.flush()
      resolve()
    }
    stream.once('end', finish)
    // `close` follows.
    stream.on('error', () => {})
    stream.once('close', finish)
  })
  const close = () => {
    cancelPause?.()
    stream.destroy()
  }
  return { ended, close }
}
