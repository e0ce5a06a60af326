// The watchdog's part in the event loop: counts beats, notes whose bytes are handled, learns which sandbox was killed while the loop
// stood. Its thread decides and kills, since it goes on when the loop does not.
import { url as inspectorUrl } from 'node:inspector'
import { Worker } from 'node:worker_threads'
import type { Logger, LoopStands, SandboxWatch, WatchedSandbox } from '../api.ts'
import { watchLoop } from '../host/loop-stands.ts'
import { LoopSigns } from './signs.ts'
import type { Restart, ThreadSettings, ThreadWord } from './thread-words.ts'

export interface WatchdogOptions {
  readonly logger: Logger
  /** A stand this long is acted upon; null: the loop is measured, and nothing is done. */
  readonly afterMs: number | null
  /** What is started in place of this process. */
  readonly restart: Restart
}

export interface Watchdog extends LoopStands, SandboxWatch {
  /** From here on a stand is acted upon; `disarm` ends that. A start and a stop may do much at once. */
  arm(): void
  disarm(): void
  close(): Promise<void>
}

/** Looks of the loop's timer from one question about a debugger to the next. */
const LOOKS_PER_QUESTION = 12
/** From the unexpected end of a thread to the next one. */
const AGAIN_MS = 1000
/** The thread needs little memory; its heap must not grow. */
const THREAD_MEMORY = { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 }

/** Watches the event loop of this thread, which must be the main one. */
export function startWatchdog(options: WatchdogOptions): Watchdog {
  return new LoopWatchdog(options)
}

interface Watched extends WatchedSandbox {
  readonly number: number
  killedAfterMs: number | null
}

class LoopWatchdog implements Watchdog {
  readonly #options: WatchdogOptions
  readonly #signs = new LoopSigns()
  readonly #loop: ReturnType<typeof watchLoop>
  #thread: Worker | null
  #closed = false
  readonly #watched = new Map<number, Watched>()
  #lastNumber = 0
  #looks = 0
  #sandboxesKilled = 0

  constructor(options: WatchdogOptions) {
    this.#options = options
    this.#thread = options.afterMs === null ? null : this.#startThread(options.afterMs)
    this.#loop = watchLoop(() => this.#look())
  }

  arm(): void {
    this.#signs.armed = true
  }

  disarm(): void {
    this.#signs.armed = false
  }

  watch(sandbox: WatchedSandbox): { handling(): void; killedAfterMs(): number | null; leave(): void } {
    const number = this.#nextNumber()
    const watched: Watched = { ...sandbox, number, killedAfterMs: null }
    this.#watched.set(number, watched)
    this.#tell(wordOf(watched))
    return {
      handling: () => this.#signs.handle(number),
      killedAfterMs: () => {
        this.#noticeKill()
        return watched.killedAfterMs
      },
      leave: () => {
        if (this.#watched.delete(number)) this.#tell({ kind: 'leave', number })
      },
    }
  }

  takeLongestMs(): number {
    return this.#loop.takeLongestMs()
  }

  onStand(tell: (ms: number) => void): () => void {
    return this.#loop.onStand(tell)
  }

  coreWaitMs(): number {
    return this.#loop.coreWaitMs()
  }

  stalls(): { readonly sandboxesKilled: number; readonly restarts: number } {
    return { sandboxesKilled: this.#sandboxesKilled, restarts: this.#options.restart.restarts.total }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.disarm()
    this.#loop.close()
    await this.#thread?.terminate()
  }

  #startThread(afterMs: number): Worker {
    const workerData: ThreadSettings = {
      signs: this.#signs.buffer,
      afterMs,
      restart: this.#options.restart,
    }
    const thread = new Worker(new URL('./watchdog-thread.ts', import.meta.url), {
      workerData,
      execArgv: [],
      resourceLimits: THREAD_MEMORY,
    })
    thread.unref()
    const { logger } = this.#options
    thread.on('error', (error) => logger.error({ error: String(error) }, "the watchdog's thread failed"))
    thread.on('exit', () => {
      this.#thread = null
      if (!this.#closed) setTimeout(() => this.#replaceThread(afterMs), AGAIN_MS).unref()
    })
    return thread
  }

  #replaceThread(afterMs: number): void {
    if (this.#closed) return
    this.#thread = this.#startThread(afterMs)
    for (const watched of this.#watched.values()) this.#tell(wordOf(watched))
  }

  /** Each 20 ms. */
  #look(): void {
    this.#signs.beat()
    // What was read before this turn is handled.
    this.#signs.handle(0)
    this.#noticeKill()
    if (++this.#looks % LOOKS_PER_QUESTION === 0) this.#signs.debugged = inspectorUrl() !== undefined
  }

  #noticeKill(): void {
    const killed = this.#signs.killed()
    if (killed === null) return
    this.#signs.forgetKilled()
    const watched = this.#watched.get(killed.sandbox)
    if (watched === undefined) return
    this.#sandboxesKilled++
    watched.killedAfterMs = killed.afterMs
    const { id } = watched
    const fields = { sandbox: id, stoodMs: killed.afterMs }
    this.#options.logger.error(fields, 'the event loop stood; the sandbox it was busy with was killed')
    watched.onKilled(killed.afterMs)
  }

  #nextNumber(): number {
    do this.#lastNumber = (this.#lastNumber % 0x7fff_ffff) + 1
    while (this.#watched.has(this.#lastNumber))
    return this.#lastNumber
  }

  #tell(word: ThreadWord): void {
    this.#thread?.postMessage(word)
  }
}

function wordOf({ number, id, descriptors, directories }: Watched): ThreadWord {
  return { kind: 'watch', sandbox: { number, id, descriptors, directories } }
}
