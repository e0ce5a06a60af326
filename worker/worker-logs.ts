// What is written into a function's log around its calls: its own lines, mapped to the author's source and capped, why a call
// failed, and the REPORT line. Keeps nothing; the log store does.
import type { Clock } from '../runtime/api.ts'
import type { FunctionVersion, InvocationRecord, LogLine } from './api.ts'
import type { Call } from './invoke.ts'
import { reportLine } from './invoke-record.ts'
import { isoTime } from './iso-time.ts'
import { LOG_CAP_NOTICE, LogCap } from './logs/log-cap.ts'
import type { Slot } from './pool/slot.ts'

const STACK_LINES = 40

export class CallLog {
  readonly #clock: Clock
  readonly #write: (line: LogLine) => void
  /** Of what sandboxes print while they load. */
  readonly #loadCaps = new WeakMap<Slot, LogCap>()

  constructor(clock: Clock, write: (line: LogLine) => void) {
    this.#clock = clock
    this.#write = write
  }

  /** Output while the code loads, capped like a call's. */
  loading(slot: Slot, stream: 'stdout' | 'stderr', text: string): void {
    const { pool, sandbox } = slot
    const cap = this.#loadCaps.get(slot) ?? new LogCap()
    this.#loadCaps.set(slot, cap)
    const verdict = cap.take(text)
    if (verdict === 'drop') return
    const line = verdict === 'notice' ? LOG_CAP_NOTICE : pool.mapPositions(text)
    this.#add(pool.version, null, sandbox?.id ?? '', verdict === 'notice' ? 'stderr' : stream, line)
  }

  /** A line of the call's output. */
  output(call: Call, stream: 'stdout' | 'stderr', text: string): void {
    call.logCap ??= new LogCap()
    const verdict = call.logCap.take(text)
    if (verdict === 'drop') return
    const line = verdict === 'notice' ? LOG_CAP_NOTICE : call.pool.mapPositions(text)
    this.#add(call.request.version, call.id, call.sandboxId, verdict === 'notice' ? 'stderr' : stream, line)
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
    this.#add(version, call.id, call.sandboxId, 'report', reportLine(record))
  }

  #add(version: FunctionVersion, invocation: string | null, sandbox: string, stream: LogLine['stream'], line: string) {
    this.#write({
      time: isoTime(this.#clock.now()),
      namespace: version.namespace,
      function: version.name,
      version: version.version,
      invocation,
      sandbox,
      stream,
      line,
    })
  }
}
