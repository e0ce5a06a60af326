// The platform's own Redis: started on a unix socket, kept alive with back-off, ended with the platform.
// The caller holds the lock of the state directory: two Redis servers on one append-only file destroy it.
import { rm } from 'node:fs/promises'
import type { Clock, Logger, spawn } from '../../runtime/api.ts'
import { dropBallast, makeBallast } from './ballast.ts'
import type { StoreError } from './errors.ts'
import {
  askRedis,
  delay,
  explainExit,
  preparePaths,
  type RedisPaths,
  type RedisProcess,
  startProcess,
  stopOrphan,
  stopProcess,
} from './redis-process.ts'

export interface EmbeddedRedisOptions {
  readonly stateDir: string
  /** Short: socket paths end at 108 bytes. */
  readonly runDir: string
  readonly spawn: typeof spawn
  readonly logger: Logger
  readonly clock: Clock
  /** What it may hold (`maxmemory`); default 0: no bound. */
  readonly maxMemoryBytes?: number
}

export interface EmbeddedRedis {
  readonly socketPath: string
  /** True while it answers. */
  available(): boolean
  /** Why it is not available; null while it is. */
  reason(): string | null
  /** Why it ended by itself within the last half minute; null: it did not. With a full disk it comes and goes. */
  lastEnd(): string | null
  /** Host pid of the server, null while there is none. */
  pid(): number | null
  /** Ends it, orderly; idempotent. */
  stop(): Promise<void>
}

/** How often the ballast is looked after. */
const BALLAST_MS = 30_000
/** How long the reason of an end is told after it was started again. */
const FORGET_MS = 30_000
const BACKOFF_FIRST_MS = 100
const BACKOFF_MAX_MS = 5_000
const ASK_MS = 1_000
const POLL_MS = 10

/** Resolves when it answers with its data loaded. Rejects with StoreError REDIS_MISSING | REDIS_DATA_CORRUPT |
 *  REDIS_DISK_FULL | REDIS_START_FAILED. */
export async function startEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  const paths = await preparePaths(options.stateDir, options.runDir)
  const orphan = await stopOrphan(paths, options.clock)
  if (orphan !== null) options.logger.warn({ pid: orphan }, 'stopped a redis-server left over on this state directory')
  const supervisor = new Supervisor(options, paths)
  try {
    await supervisor.start()
  } catch (error) {
    const isFull = (error as StoreError).code === 'REDIS_DISK_FULL'
    if (!isFull || !(await supervisor.giveUpBallast())) throw error
    await supervisor.start()
  }
  supervisor.keepBallast()
  return supervisor
}

class Supervisor implements EmbeddedRedis {
  readonly socketPath: string
  readonly #options: EmbeddedRedisOptions
  readonly #paths: RedisPaths
  #process: RedisProcess | null = null
  #ready = false
  #stopping = false
  #reason: string | null = 'starting'
  #lastEnd: string | null = null
  #cancelRestart: () => void = () => {}
  #cancelBallast: () => void = () => {}
  #cancelForget: () => void = () => {}
  #ballast: Promise<unknown> = Promise.resolve()
  #backoffMs = BACKOFF_FIRST_MS

  constructor(options: EmbeddedRedisOptions, paths: RedisPaths) {
    this.#options = options
    this.#paths = paths
    this.socketPath = paths.socketPath
  }

  available(): boolean {
    return this.#ready
  }

  reason(): string | null {
    return this.#ready ? null : this.#reason
  }

  lastEnd(): string | null {
    return this.#lastEnd
  }

  pid(): number | null {
    return this.#process?.child.pid ?? null
  }

  /** Starts and waits until it answers. Throws StoreError when it ends before. */
  async start(): Promise<void> {
    await rm(this.#paths.socketPath, { force: true })
    const redis = startProcess(this.#options.spawn, this.#paths, this.#options.maxMemoryBytes)
    this.#process = redis
    let ended: StoreError | null = null
    void redis.child.exited.then((exit) => {
      ended = explainExit(exit, redis.lastLines(), this.#paths.dataDir)
      this.#process = null
      this.#ended(ended)
    })
    while (!this.#stopping) {
      if (ended !== null) throw ended
      if ((await askRedis(this.#paths.socketPath, ASK_MS)) === 'ready' && ended === null) break
      await delay(POLL_MS)
    }
    this.#ready = !this.#stopping
    this.#backoffMs = BACKOFF_FIRST_MS
  }

  /** It ended though nobody asked it to: once it had been ready, it is started again. */
  #ended(error: StoreError): void {
    const wasReady = this.#ready
    this.#ready = false
    this.#reason = error.message
    if (this.#stopping || !wasReady) return
    this.#lastEnd = error.message
    this.#cancelForget()
    this.#cancelForget = this.#options.clock.after(FORGET_MS, () => {
      this.#lastEnd = null
    })
    this.#options.logger.error({ reason: error.message }, 'redis-server ended; starting it again')
    if (error.code === 'REDIS_DISK_FULL') void this.giveUpBallast()
    this.#restartLater()
  }

  #restartLater(): void {
    const waitMs = this.#backoffMs
    this.#backoffMs = Math.min(BACKOFF_MAX_MS, waitMs * 2)
    this.#cancelRestart = this.#options.clock.after(waitMs, () => {
      this.start().then(
        () => this.#options.logger.info({}, 'redis-server answers again'),
        (error: StoreError) => this.#restartFailed(error),
      )
    })
  }

  #restartFailed(error: StoreError): void {
    this.#reason = error.message
    if (this.#stopping) return
    // Garbage in the file or a missing program do not go away by trying again.
    if (error.code === 'REDIS_DISK_FULL') void this.giveUpBallast()
    const hopeless = error.code === 'REDIS_DATA_CORRUPT' || error.code === 'REDIS_MISSING'
    this.#options.logger.error({ reason: error.message, again: !hopeless }, 'redis-server does not start')
    if (!hopeless) this.#restartLater()
  }

  /** Makes it where there is room, in the background, and again after it was given up. */
  keepBallast(): void {
    if (this.#stopping) return
    if (this.#ready) this.#ballast = this.#ballast.then(() => makeBallast(this.#options.stateDir))
    this.#cancelBallast = this.#options.clock.after(BALLAST_MS, () => this.keepBallast())
  }

  /** True: there was some. */
  async giveUpBallast(): Promise<boolean> {
    if (!(await dropBallast(this.#options.stateDir))) return false
    this.#options.logger.warn(
      {},
      'the disk is full; the room kept for this day is given up, so that redis-server can start',
    )
    return true
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#cancelBallast()
    this.#cancelForget()
    await this.#ballast
    this.#ready = false
    this.#reason = 'stopped'
    this.#cancelRestart()
    if (this.#process !== null) await stopProcess(this.#process.child)
    await rm(this.#paths.socketPath, { force: true })
    await rm(this.#paths.pidPath, { force: true })
  }
}
