// The thread that decodes source maps: one task at a time, namespaces in turn; ended when a task takes too long or too much memory.
// Starts on first use, ends when it has had nothing to do for a while, does not keep the process alive.
import { Worker } from 'node:worker_threads'
import type { Clock } from '../../runtime/api.ts'
import type { DecodedMap } from './decoded-map.ts'
import { SourceMapError } from './map-bounds.ts'

export interface MapTask {
  readonly map: Uint8Array
  readonly bundleBytes: number
  /** False: only whether it can be decoded is asked. */
  readonly wanted: boolean
}

/** `map` is null when it was not wanted. */
export type MapReply = { readonly map: DecodedMap | null } | { readonly problem: string }

/** What of a worker thread is used: tests pass one of their own. */
export type ThreadOf = () => Worker

interface Job {
  readonly task: () => Promise<MapTask>
  resolve(map: DecodedMap | null): void
  reject(error: Error): void
}

/** Of one task. The largest map that is accepted needs some 2 s on a slow core. */
const DEADLINE_MS = 10_000
const IDLE_MS = 10_000
const HEAP_MB = 768
/** Tasks of one namespace that may wait. */
const MOST_WAITING = 32

export class MapThread {
  readonly #clock: Clock
  readonly #threadOf: ThreadOf
  readonly #waiting = new Map<string, Job[]>()
  #thread: Worker | null = null
  #running: Job | null = null
  #cancelDeadline = () => {}
  #cancelIdle = () => {}
  #closed = false

  constructor(clock: Clock, threadOf: ThreadOf = startThread) {
    this.#clock = clock
    this.#threadOf = threadOf
  }

  /** Decodes. `task` is called when it is its turn. Rejects with SourceMapError when the map is not taken, and with another Error
   *  when the thread is closed or too many tasks of `owner` wait. */
  decode(owner: string, task: Job['task']): Promise<DecodedMap | null> {
    if (this.#closed) return Promise.reject(new Error('the map thread is closed'))
    const jobs = this.#waiting.get(owner) ?? []
    if (jobs.length >= MOST_WAITING) return Promise.reject(new Error(`${MOST_WAITING} source maps of ${owner} wait`))
    this.#waiting.set(owner, jobs)
    return new Promise((resolve, reject) => {
      jobs.push({ task, resolve, reject })
      this.#next()
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelIdle()
    for (const jobs of this.#waiting.values()) for (const job of jobs) job.reject(new Error('the map thread is closed'))
    this.#waiting.clear()
    await this.#end(new Error('the map thread is closed'))
  }

  #next(): void {
    if (this.#running !== null || this.#closed) return
    const [turn] = this.#waiting
    if (turn === undefined) {
      this.#cancelIdle()
      this.#cancelIdle = this.#clock.after(IDLE_MS, () => {
        if (this.#running === null) void this.#end(new Error('idle'))
      })
      return
    }
    const [owner, jobs] = turn
    const job = jobs.shift()!
    // Namespaces take turns: the one that had its turn goes to the end.
    this.#waiting.delete(owner)
    if (jobs.length > 0) this.#waiting.set(owner, jobs)
    this.#running = job
    job.task().then(
      (task) => this.#post(job, task),
      (error: Error) => this.#over(job, () => job.reject(error)),
    )
  }

  #post(job: Job, task: MapTask): void {
    if (this.#running !== job) return
    try {
      this.#thread ??= this.#start()
      this.#thread.ref()
      this.#cancelDeadline = this.#clock.after(DEADLINE_MS, () => {
        void this.#end(new SourceMapError(`the source map took longer than ${DEADLINE_MS / 1000} s to decode`))
      })
      this.#thread.postMessage(task)
    } catch (error) {
      this.#over(job, () => job.reject(error as Error))
    }
  }

  #start(): Worker {
    const thread = this.#threadOf()
    thread.on('message', (reply: MapReply) => {
      const job = this.#running
      if (job === null || this.#thread !== thread) return
      thread.unref()
      this.#over(job, () => {
        if ('problem' in reply) job.reject(new SourceMapError(reply.problem))
        else job.resolve(reply.map)
      })
    })
    const lost = (error: Error) => {
      if (this.#thread !== thread) return
      const isMemory = (error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY'
      const why = `the source map could not be decoded: ${error.message}`
      void this.#end(isMemory ? new SourceMapError(why) : new Error(why))
    }
    thread.on('error', lost)
    thread.on('exit', () => lost(new Error('its thread ended')))
    return thread
  }

  #over(job: Job, tell: () => void): void {
    if (this.#running !== job) return
    this.#cancelDeadline()
    this.#running = null
    tell()
    this.#next()
  }

  /** Ends the thread; what it worked on fails. The next task gets another one. */
  async #end(why: Error): Promise<void> {
    const thread = this.#thread
    const job = this.#running
    this.#thread = null
    if (job !== null) this.#over(job, () => job.reject(why))
    await thread?.terminate()
  }
}

function startThread(): Worker {
  const limits = { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: 64 }
  return new Worker(new URL('./map-worker.ts', import.meta.url), { execArgv: [], resourceLimits: limits })
}
