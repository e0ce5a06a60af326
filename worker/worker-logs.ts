// What is written into a function's log around its calls: its own lines, mapped to the author's source and capped, why a call
// failed, and the REPORT line. Keeps nothing; the log store does.
import type { Clock } from '../runtime/api.ts'
import type { FunctionVersion, InvocationRecord, LogLine } from './api.ts'
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
  /** Of what sandboxes print while they load. */
  readonly #loadCaps = new WeakMap<Slot, LogCap>()

  constructor(clock: Clock, write: (line: LogLine) => void) {
    this.#clock = clock
    this.#held = new HeldLines(write)
  }

  /** Output while the code loads, capped like a call's. */
  loading(slot: Slot, stream: 'stdout' | 'stderr', text: string): void {
    const { pool, sandbox } = slot
    const cap = this.#loadCaps.get(slot) ?? new LogCap()
    this.#loadCaps.set(slot, cap)
    const verdict = cap.take(text)
    if (verdict === 'drop') return
    const id = sandbox?.id ?? ''
    if (verdict === 'notice') this.#add(pool.version, null, id, 'stderr', LOG_CAP_NOTICE)
    else this.#add(pool.version, null, id, stream, text, pool.mapPositions(text))
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
    const { error } = record
    const own = error !== null && error.component === 'function'
    if (record.start === null && !own) return
    const { version } = call.request
    if (own) {
      const text = error.stack ?? error.message
      for (const line of text.split('\n', STACK_LINES)) this.#add(version, call.id, call.sandboxId, 'stderr', line)
    }
    const leftOut = call.pool.positions?.takeLeftOut() ?? 0
    if (leftOut > 0) this.#add(version, call.id, call.sandboxId, 'stderr', leftOutNotice(leftOut))
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
    version: FunctionVersion,
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
