// The watchdog's thread: looks at the loop each tick, kills the sandbox that holds it up, and starts the process over when that does
// not help. Runs while the loop stands, so it waits for nothing that the loop would have to do.
import { readlinkSync, writeSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { killDirectories } from '../cgroup/kill.ts'
import { coreWaitUs } from '../host/core-wait.ts'
import { replaceProcess } from '../host/exec.ts'
import { encodeRestarts, RESTARTS_VARIABLE } from './restarts.ts'
import { LoopSigns } from './signs.ts'
import { readTask, type TaskState } from './task-state.ts'
import type { Restart, ThreadSandbox, ThreadSettings, ThreadWord } from './thread-words.ts'
import { judge, type Look, type Suspicion, stoodMs, TICK_MS, trust } from './verdict.ts'

/** Below this only the beat is looked at: a loop that moves costs next to nothing. */
const SUSPECT_MS = 500
/** Faults from disk in a tick that tell of swap: the loop then moves, slowly. */
const SWAPPING_FAULTS = 5
const STDOUT = 1
const STDERR = 2
const PINO_ERROR = 50

class WatchdogThread {
  readonly #settings: ThreadSettings
  readonly #signs: LoopSigns
  readonly #sandboxes = new Map<number, ThreadSandbox>()
  readonly #byDescriptor = new Map<number, ThreadSandbox>()
  /** At the tick before; null: nothing was asked then. */
  #majorFaults: number | null = null
  #suspicion: Suspicion

  constructor(settings: ThreadSettings) {
    this.#settings = settings
    this.#signs = new LoopSigns(settings.signs)
    this.#suspicion = trust({ ...this.#timesNow(), excused: false })
  }

  hear(word: ThreadWord): void {
    if (word.kind === 'watch') {
      this.#sandboxes.set(word.sandbox.number, word.sandbox)
      for (const fd of word.sandbox.descriptors) this.#byDescriptor.set(fd, word.sandbox)
      return
    }
    const gone = this.#sandboxes.get(word.number)
    this.#sandboxes.delete(word.number)
    // The descriptor may be another's by now.
    for (const fd of gone?.descriptors ?? []) if (this.#byDescriptor.get(fd) === gone) this.#byDescriptor.delete(fd)
  }

  tick(): void {
    const times = this.#timesNow()
    const { beat, sinceMs } = this.#suspicion
    const isSuspect = this.#signs.armed && times.beat === beat && times.nowMs - sinceMs >= SUSPECT_MS
    const task = isSuspect ? readTask(process.pid) : null
    const look = { ...times, excused: task === null ? !this.#signs.armed : this.#isExcused(task) }
    this.#majorFaults = task?.majorFaults ?? null
    const { next, verdict } = judge(this.#suspicion, look, this.#settings.afterMs)
    const stood = stoodMs(this.#suspicion, look)
    this.#suspicion = next
    if (verdict === 'kill' && task !== null) this.#killSandbox(task, stood)
    if (verdict === 'restart') restart(this.#settings.restart, stood)
  }

  #timesNow(): Omit<Look, 'excused'> {
    return { nowMs: performance.now(), beat: this.#signs.beats, coreWaitMs: (coreWaitUs(process.pid) ?? 0) / 1000 }
  }

  #isExcused(task: TaskState): boolean {
    const faults = task.majorFaults - (this.#majorFaults ?? task.majorFaults)
    const swaps = task.isFaulting || faults >= SWAPPING_FAULTS
    // Our own output to a terminal that was stopped, or to a reader that does not read.
    const isHeld = task.descriptor === STDOUT || task.descriptor === STDERR
    return this.#signs.debugged || task.isTraced || swaps || isHeld
  }

  #killSandbox(task: TaskState, stood: number): void {
    const sandbox = this.#busyWith(task)
    if (sandbox === null) return
    // ORDER: noted first: the loop may turn again at once and must know why the sandbox is dead.
    this.#signs.tellKilled(sandbox.number, stood)
    killDirectories(sandbox.directories)
  }

  /** The sandbox whose descriptor the loop stands at; if it stands at none, the one whose bytes it took last in this turn. */
  #busyWith({ descriptor }: TaskState): ThreadSandbox | null {
    if (descriptor === null) return this.#sandboxes.get(this.#signs.handled) ?? null
    return this.#byDescriptor.get(descriptor) ?? this.#ownerOfFile(descriptor)
  }

  /** The control files of a sandbox's cgroup, and its folders, have its id in their path. */
  #ownerOfFile(descriptor: number): ThreadSandbox | null {
    let parts: string[]
    try {
      parts = readlinkSync(`/proc/self/fd/${descriptor}`).split('/')
    } catch {
      return null
    }
    for (const sandbox of this.#sandboxes.values()) if (parts.includes(sandbox.id)) return sandbox
    return null
  }
}

function restart(how: Restart, stood: number): void {
  const ms = Math.round(stood)
  say(`the event loop has stood for ${ms} ms; starting the platform over`, { stoodMs: ms })
  const told = encodeRestarts(how.restarts, Number(process.hrtime.bigint() / 1_000_000n))
  const errno = replaceProcess(how.path, how.args, { ...how.env, [RESTARTS_VARIABLE]: told })
  say('the platform could not be started over; it ends', { errno })
  process.kill(process.pid, 'SIGKILL')
}

/** A line in the form of the platform's own log, whose writer stands with the loop. */
function say(message: string, fields: object): void {
  const line = JSON.stringify({ level: PINO_ERROR, time: new Date().toISOString(), ...fields, message })
  try {
    writeSync(STDERR, `${line}\n`)
  } catch {
    // a reader that does not read must stop nothing here
  }
}

const thread = new WatchdogThread(workerData as ThreadSettings)
parentPort?.on('message', (word: ThreadWord) => thread.hear(word))
setInterval(() => thread.tick(), TICK_MS)
