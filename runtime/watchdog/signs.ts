// What the event loop tells the watchdog's thread and hears from it, in memory both share: a store or a load each, no message.

const BEAT = 0
const HANDLED = 1
const DEBUGGED = 2
const KILLED = 3
const KILLED_AFTER_MS = 4
const ARMED = 5
const WORDS = 6

/** Numbers of sandboxes are 1 and above; 0 is none. */
export class LoopSigns {
  readonly buffer: SharedArrayBuffer
  readonly #words: Int32Array

  constructor(buffer = new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT)) {
    this.buffer = buffer
    this.#words = new Int32Array(buffer)
  }

  /** The loop turns. */
  beat(): void {
    Atomics.add(this.#words, BEAT, 1)
  }

  get beats(): number {
    return Atomics.load(this.#words, BEAT)
  }

  /** Whose bytes the loop handles from here on. A plain store: it is made for every chunk that is read. */
  handle(sandbox: number): void {
    this.#words[HANDLED] = sandbox
  }

  get handled(): number {
    return Atomics.load(this.#words, HANDLED)
  }

  set debugged(debugged: boolean) {
    Atomics.store(this.#words, DEBUGGED, debugged ? 1 : 0)
  }

  get debugged(): boolean {
    return Atomics.load(this.#words, DEBUGGED) === 1
  }

  /** Whether the thread may act. */
  set armed(armed: boolean) {
    Atomics.store(this.#words, ARMED, armed ? 1 : 0)
  }

  get armed(): boolean {
    return Atomics.load(this.#words, ARMED) === 1
  }

  /** Noted before the kill, so that the loop knows why when it finds the sandbox dead. */
  tellKilled(sandbox: number, afterMs: number): void {
    Atomics.store(this.#words, KILLED_AFTER_MS, Math.round(afterMs))
    Atomics.store(this.#words, KILLED, sandbox)
  }

  /** The sandbox the thread killed last, and how long the loop had stood; null: none since `forgetKilled`. */
  killed(): { readonly sandbox: number; readonly afterMs: number } | null {
    const sandbox = Atomics.load(this.#words, KILLED)
    return sandbox === 0 ? null : { sandbox, afterMs: Atomics.load(this.#words, KILLED_AFTER_MS) }
  }

  forgetKilled(): void {
    Atomics.store(this.#words, KILLED, 0)
  }
}
