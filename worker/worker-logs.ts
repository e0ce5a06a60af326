// What is written into a function's log around its calls: its own lines, mapped to the author's source and capped, why a call
// failed, and the REPORT line. Keeps nothing; the log store does.
import type { Clock } from '../runtime/api.ts'
import type { FunctionVersion, InvocationRecord, LateFault, LogLine } from './api.ts'
import type { Call } from './invoke.ts'
import { reportLine } from './invoke-record.ts'
import { isoTime } from './iso-time.ts'
import { HeldLines } from './logs/held-lines.ts'
import { LOG_CAP_NOTICE, LogCap } from './logs/log-cap.ts'
import type { Slot } from './pool/slot.ts'

const STACK_LINES = 40

export class CallLog {
  readonly #clock: Clock
  readonly #held: HeldLines
  /** Of what sandboxes print outside of calls: while they load, and in each minute after. */
  readonly #outsideCaps = new WeakMap<Slot, { readonly minute: number; readonly cap: LogCap }>()

  constructor(clock: Clock, write: (line: LogLine) => void) {
    this.#clock = clock
    this.#held = new HeldLines(write)
  }

  /** Output while the code loads (`invocation` null), and what a call left running prints after its end; capped like a call's. */
  outside(slot: Slot, stream: 'stdout' | 'stderr', text: string, invocation: string | null): void {
    const { pool, sandbox } = slot
    const verdict = this.#outsideCap(slot).take(text)
    if (verdict === 'drop') return
    const id = sandbox?.id ?? ''
    if (verdict === 'notice') this.#add(pool.version, invocation, id, 'stderr', LOG_CAP_NOTICE)
    else this.#add(pool.version, invocation, id, stream, text, pool.mapPositions(text))
  }

  /** A sandbox ended between calls. It has printed the error itself. */
  afterAnswer({ namespace, function: name, version, sandbox, invocation, failure }: LateFault): void {
    const when = invocation === null ? 'before its first call' : 'after the answer'
    this.#add({ namespace, name, version }, invocation, sandbox, 'stderr', `${when}: ${failure.message}`)
  }

  #outsideCap(slot: Slot): LogCap {
    const minute = Math.floor(this.#clock.monotonicMs() / 60_000)
    const known = this.#outsideCaps.get(slot)
    if (known?.minute === minute) return known.cap
    const cap = new LogCap()
    this.#outsideCaps.set(slot, { minute, cap })
    return cap
  }

  /** A line of the call's output. */
  output(call: Call, stream: 'stdout' | 'stderr', text: string): void {
    call.logCap ??= new LogCap()
    const verdict = call.logCap.take(text)
    if (verdict === 'drop') return
    const { id, sandboxId, pool } = call
    if (verdict === 'notice') this.#add(pool.version, id, sandboxId, 'stderr', LOG_CAP_NOTICE)
    else this.#add(pool.version, id, sandboxId, stream, text, pool.mapPositions(text))
  }

  /** Why it failed, where that is the function's own doing, and the REPORT line; nothing for a call that was turned away. */
  ended(call: Call, record: InvocationRecord): void {
    const { error, afterAnswer } = record
    const own = error !== null && error.component === 'function'
    if (record.start === null && !own) return
    const { version } = call.request
    if (own) {
      const text = error.stack ?? error.message
      for (const line of text.split('\n', STACK_LINES)) this.#add(version, call.id, call.sandboxId, 'stderr', line)
    }
    const leftOut = call.pool.positions?.takeLeftOut() ?? 0
    if (leftOut > 0) this.#add(version, call.id, call.sandboxId, 'stderr', leftOutNotice(leftOut))
    if (afterAnswer !== undefined)
      this.#add(version, call.id, call.sandboxId, 'stderr', `after the answer: ${afterAnswer.message}`)
    this.#add(version, call.id, call.sandboxId, 'report', reportLine(record))
  }

  /** Resolves when what waits now was written: of a namespace, or of one function in it. */
  settled(namespace: string, name: string | undefined): Promise<void> {
    return this.#held.settled(name === undefined ? `${namespace}/` : `${namespace}/${name}`)
  }

  /** Writes what waits for its positions: with them where they come within `ms`, else as it is. */
  async close(ms: number): Promise<void> {
    if (this.#held.isEmpty) return
    await new Promise<void>((resolve) => {
      const cancel = this.#clock.after(ms, resolve)
      void this.#held.settled(null).then(() => {
        cancel()
        resolve()
      })
    })
    this.#held.flush()
  }

  #add(
    version: Pick<FunctionVersion, 'namespace' | 'name' | 'version'>,
    invocation: string | null,
    sandbox: string,
    stream: LogLine['stream'],
    text: string,
    mapped: string | Promise<string> = text,
  ): void {
    const isKnown = typeof mapped === 'string'
    const line: LogLine = {
      time: isoTime(this.#clock.now()),
      namespace: version.namespace,
      function: version.name,
      version: version.version,
      invocation,
      sandbox,
      stream,
      line: isKnown ? mapped : text,
    }
    this.#held.add(line, isKnown ? null : mapped)
  }
}

function leftOutNotice(count: number): string {
  return `${count} positions in this output are those of the bundle: there were too many in a line or a second to look up`
}
