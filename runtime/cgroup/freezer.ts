// Freezing and thawing one sandbox: the kernel's request and its confirmation, the wait between, and the ladder when it does
// not come. Prefers the v2 cgroup.freeze; v1's freezer.state where there is no v2 tree.
//
//   thawed ──freeze()──▶ freezing ──confirmed──▶ frozen      freezing: 50 ms, then once more with the I/O rates lifted,
//      ▲                    │ thaw(), or not confirmed  │     then thawed again and FREEZE_FAILED
//      └────────────────────┴──────────thaw()───────────┘
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../api.ts'
import { RuntimeError } from '../errors.ts'
import { type ControlFile, fieldKey } from './control-file.ts'
import type { SandboxDirectory } from './sandbox-directory.ts'

/** How this host's freezer is spoken to. */
export interface FreezerDialect {
  readonly name: 'cgroup.freeze' | 'freezer.state'
  /** Asks for the state; returns the errno name when refused. */
  request(frozen: boolean): string | null
  confirmed(): boolean
  close(): void
}

const FROZEN = fieldKey('frozen')

/** The freezer of this sandbox. Throws the system error when it has none. */
export function openFreezer(directory: SandboxDirectory): FreezerDialect {
  const unified = directory.unified()
  if (unified !== null) {
    const freeze = directory.fileAt(unified, 'cgroup.freeze', 'write')
    if (freeze.exists()) return v2Freezer(freeze.open(), directory.fileAt(unified, 'cgroup.events', 'read').open())
  }
  const root = directory.tree.freezer
  if (root === null) throw new Error('no freezer: neither cgroup.freeze nor a v1 freezer hierarchy')
  return v1Freezer(directory.file({ version: 1, root }, 'freezer.state', 'both').open())
}

function v2Freezer(freeze: ControlFile, events: ControlFile): FreezerDialect {
  return {
    name: 'cgroup.freeze',
    request: (frozen) => freeze.tryWrite(frozen ? '1' : '0'),
    confirmed: () => events.readField(FROZEN) === 1,
    close() {
      freeze.close()
      events.close()
    },
  }
}

function v1Freezer(state: ControlFile): FreezerDialect {
  return {
    name: 'freezer.state',
    request: (frozen) => state.tryWrite(frozen ? 'FROZEN' : 'THAWED'),
    // FREEZING means that some task has not stopped yet.
    confirmed: () => state.readText().startsWith('FROZEN'),
    close: () => state.close(),
  }
}

/** Most freezes are confirmed within this; a timer would be a whole millisecond late. */
const TURNS_MS = 0.3
/** Bounds the turns where they cost less than they should. */
const MOST_TURNS = 200
const POLL_MS = 1
const DEADLINE_MS = 50

export interface FreezerOptions {
  readonly dialect: FreezerDialect
  readonly clock: Clock
  /** Takes the I/O rates away and puts them back: a task in throttled I/O does not stop. */
  readonly io: { lift(): void; restore(): void } | null
  /** For messages. */
  readonly path: string
}

export class Freezer {
  readonly #options: FreezerOptions
  #state: 'thawed' | 'freezing' | 'frozen' = 'thawed'
  /** Counts thaws, so that a freeze in progress notices one. */
  #thaws = 0
  #inFlight: Promise<number | null> | null = null
  #freezeUs = 0
  #thawUs = 0

  constructor(options: FreezerOptions) {
    this.#options = options
  }

  get frozen(): boolean {
    return this.#state === 'frozen'
  }

  /** Resolves to the µs until the kernel confirmed (0 when frozen already), or to null when a thaw came first.
   *  Rejects RuntimeError FREEZE_FAILED, thawed again. */
  freeze(): Promise<number | null> {
    if (this.#state === 'frozen') return Promise.resolve(0)
    if (this.#state === 'freezing' && this.#inFlight !== null) return this.#inFlight
    this.#state = 'freezing'
    const attempt = this.#run(this.#thaws).finally(() => {
      if (this.#inFlight === attempt) this.#inFlight = null
    })
    this.#inFlight = attempt
    return attempt
  }

  /** Lets the tasks run again and returns at once; µs the write took, 0 when nothing was frozen. Never throws. */
  thaw(): number {
    if (this.#state === 'thawed') return 0
    const start = this.#options.clock.monotonicMs()
    this.#state = 'thawed'
    this.#thaws++
    // A refusal means that the cgroup is gone, and with it what was frozen.
    this.#options.dialect.request(false)
    this.#options.io?.restore()
    this.#thawUs = this.#sinceUs(start)
    return this.#thawUs
  }

  /** Durations of the last freeze and thaw since this was last asked, µs. */
  takeDurations(): { freezeUs: number; thawUs: number } {
    const durations = { freezeUs: this.#freezeUs, thawUs: this.#thawUs }
    this.#freezeUs = 0
    this.#thawUs = 0
    return durations
  }

  close(): void {
    this.#options.dialect.close()
  }

  async #run(thaws: number): Promise<number | null> {
    const { dialect, io, clock } = this.#options
    const start = clock.monotonicMs()
    let refusal = dialect.request(true)
    let confirmed = refusal === null && (await this.#confirm(thaws))
    // ORDER: asked after every wait. A thaw in between has won, and nothing of this attempt may be written any more.
    if (this.#thaws !== thaws) return null
    if (!confirmed) {
      io?.lift()
      refusal = dialect.request(true)
      confirmed = refusal === null && (await this.#confirm(thaws))
      if (this.#thaws !== thaws) return null
      // Nothing runs by now, or everything is about to: either way the rates hold again before user code does.
      io?.restore()
    }
    if (confirmed) {
      this.#state = 'frozen'
      this.#freezeUs = this.#sinceUs(start)
      return this.#freezeUs
    }
    // A request left behind would freeze the sandbox later, in the middle of a call.
    this.thaw()
    const reason = refusal ?? `not confirmed within ${2 * DEADLINE_MS} ms`
    throw new RuntimeError('FREEZE_FAILED', `freezing ${this.#options.path} by ${dialect.name}: ${reason}`)
  }

  /** Reads at once, after each turn of the event loop for a while, then every ms: reading on and on would starve the task that is
   *  to stop, and the calls of others. */
  async #confirm(thaws: number): Promise<boolean> {
    const { clock } = this.#options
    const start = clock.monotonicMs()
    for (let round = 0; ; round++) {
      if (this.#thaws !== thaws) return false
      if (this.#isConfirmed()) return true
      const sinceMs = clock.monotonicMs() - start
      if (sinceMs >= DEADLINE_MS) return false
      if (sinceMs < TURNS_MS && round < MOST_TURNS) await nextTurn()
      else await new Promise<void>((resolve) => void clock.after(POLL_MS, resolve))
    }
  }

  /** A read fails only when the cgroup is gone; then nothing confirms any more. */
  #isConfirmed(): boolean {
    try {
      return this.#options.dialect.confirmed()
    } catch {
      return false
    }
  }

  #sinceUs(startMs: number): number {
    return Math.round((this.#options.clock.monotonicMs() - startMs) * 1000)
  }
}
