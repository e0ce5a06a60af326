// The durable lane: accepts calls onto disk, runs them when their time has come, and knows their fate by id.
// It wires the parts of this folder together; each decision lies in one of them.
import { join } from 'node:path'
import type { Clock } from '../../runtime/api.ts'
import type { FunctionVersion, InvocationRecord, RecordQuery } from '../api.ts'
import { connectRedis, type RedisStore } from '../store/connect.ts'
import { Accepting } from './accepting.ts'
import type { DeadLetters, DurableLane, Outbox, QueueState, Submission } from './api.ts'
import type { AttemptContext } from './attempt.ts'
import { forgetResult, removeForgotten } from './call-files.ts'
import { type CancelParts, cancelCall, leaveCall } from './cancel.ts'
import { DeadLetterStore } from './dead-letter-store.ts'
import { createDeadLetters } from './dead-letters.ts'
import { Dispatcher } from './dispatcher.ts'
import { functionKeyOf, queueKeyOf } from './envelope.ts'
import { freeBytes } from './files.ts'
import { askResult } from './inquiry.ts'
import { acceptTraced, Intake } from './intake.ts'
import { InvocationStore } from './invocation-store.ts'
import { type FetchedJob, JobQueues } from './job-queues.ts'
import type { DurableLaneOptions } from './lane-options.ts'
import { Maintenance } from './maintenance.ts'
import { createOutbox } from './outbox.ts'
import { persist } from './persist.ts'
import { QueueUse, reportUse } from './queue-use.ts'
import { ReconcileStore } from './reconcile-store.ts'
import { Reconciler } from './reconciler.ts'
import { Recovery } from './recovery.ts'
import { RunningCalls } from './running-calls.ts'
import { ServerStanding } from './server-standing.ts'
import { stopping } from './unavailable.ts'
import { UseStore } from './use-store.ts'
import { Waiters } from './waiters.ts'

export type { DurableLaneOptions } from './lane-options.ts'

const CONCURRENCY = 128
const BODY_MAX_BYTES = 100 * 1024 ** 2
const START_WAIT_MS = 5_000

/** Opens its own connections and waits a moment for them; it exists also while Redis is away. `start` begins to run calls. */
export async function createDurableLane(options: DurableLaneOptions): Promise<DurableLane> {
  const lane = new Lane(options)
  await lane.connected(START_WAIT_MS)
  return lane
}

class Lane implements DurableLane {
  readonly #options: DurableLaneOptions
  readonly #clock: Clock
  readonly #redis: RedisStore
  readonly #store: InvocationStore
  readonly #use: QueueUse
  readonly #server: ServerStanding
  readonly #jobs: JobQueues
  readonly #intake: Intake
  readonly #dispatcher: Dispatcher<FetchedJob>
  readonly #maintenance: Maintenance
  readonly #reconciler: Reconciler
  readonly #recovery: Recovery
  readonly #waiters: Waiters
  readonly #calls: RunningCalls
  readonly #context: AttemptContext
  readonly #leave: readonly (() => void)[]
  readonly #listeners = new Set<(record: InvocationRecord) => void>()
  readonly #deadLetterStore: DeadLetterStore
  readonly deadLetters: DeadLetters
  readonly outbox: Outbox
  readonly #resultsDir: string
  readonly #soleOwner: boolean
  /** The newest version of a function that had a call. */
  readonly #versions = new Map<string, number>()
  readonly #accepting = new Accepting()
  #started = false
  #draining = false
  #closed = false

  constructor(options: DurableLaneOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#soleOwner = options.soleOwner ?? 'socketPath' in options.target
    this.#redis = connectRedis(options.target, options.logger)
    this.#server = new ServerStanding({ redis: this.#redis, clock: options.clock, logger: options.logger })
    this.#use = new QueueUse(options.quotas ?? null, options.clock)
    const counted = new UseStore(this.#redis)
    this.#store = new InvocationStore(this.#redis, options.keptMs, this.#use, (what) =>
      removeForgotten(what, this.#context),
    )
    reportUse(options.quotas, counted)
    this.#jobs = new JobQueues(this.#redis, options.logger, options.clock, options.lockMs)
    this.#waiters = new Waiters(options.clock)
    const bodiesDir = join(options.stateDir, 'bodies')
    this.#resultsDir = join(options.stateDir, 'results')
    this.#context = this.#attemptContext(bodiesDir)
    this.#calls = new RunningCalls(this.#jobs, this.#context, (key, version) => this.#configure(key, version))
    this.#deadLetterStore = new DeadLetterStore(this.#redis, this.#store.keptMs)
    this.deadLetters = createDeadLetters({
      store: this.#deadLetterStore,
      clock: options.clock,
      bodiesDir,
      guard: (ask, changing) => {
        if (changing && (this.#draining || this.#closed)) return Promise.reject(stopping())
        return this.#server.asking(ask)
      },
      queued: (queueKey) => this.#queued(queueKey, 0),
    })
    const asking = <T>(ask: () => Promise<T>): Promise<T> => this.#server.asking(ask)
    this.outbox = createOutbox(this.#store, asking, (listener) => this.onFinished(listener))
    this.#intake = new Intake({
      redis: this.#redis,
      store: this.#store,
      jobs: this.#jobs,
      clock: options.clock,
      bodiesDir,
      bodyMaxBytes: BODY_MAX_BYTES,
      use: this.#use,
      self: options.files?.self ?? null,
      announce: options.runs === false ? (queueKey) => this.#store.announceDue(queueKey) : null,
      freeBytes: 'socketPath' in options.target ? () => freeBytes(options.stateDir) : null,
    })
    this.#dispatcher = new Dispatcher<FetchedJob>({
      concurrency: options.concurrency ?? CONCURRENCY,
      clock: options.clock,
      logger: options.logger,
      available: () => this.#redis.available(),
      pressed: (namespace) => this.#accepting.press(namespace),
      fetch: (queueKey) => this.#server.noting(() => this.#calls.fetch(queueKey)),
      run: (fetched) => this.#calls.run(fetched),
    })
    this.#maintenance = new Maintenance({
      store: this.#store,
      use: counted,
      jobs: this.#jobs,
      dispatcher: this.#dispatcher,
      active: this.#calls.byId,
      clock: options.clock,
      logger: options.logger,
      soleOwner: this.#soleOwner,
      available: () => this.#redis.available(),
      bodiesDir,
      resultsDir: this.#resultsDir,
      pulledDir: this.#context.pulledDir,
      keptMs: this.#store.keptMs,
    })
    this.#recovery = new Recovery({
      recover: () => this.#maintenance.recover(),
      begin: () => this.#dispatcher.start(),
      isOver: () => this.#draining,
      clock: options.clock,
      logger: options.logger,
    })
    this.#reconciler = this.#createReconciler()
    this.#leave = this.#follow()
    if (this.#redis.available()) void this.#connected()
  }

  #createReconciler(): Reconciler {
    return new Reconciler({
      store: new ReconcileStore(this.#redis, this.#store.keptMs),
      jobs: this.#jobs,
      clock: this.#options.clock,
      logger: this.#options.logger,
      active: this.#calls.byId,
      available: () => this.#redis.available(),
      queued: (queueKey) => this.#queued(queueKey, 0),
      ended: (id) => this.#waiters.notify(id),
      times: this.#options.reconcile ?? {},
    })
  }

  /** What Redis and other processes tell; to be left at the end. */
  #follow(): (() => void)[] {
    const { turnMs } = this.#options
    return [
      this.#redis.onAvailable(() => void this.#connected()),
      this.#store.follow({
        done: (id) => this.#waiters.notify(id),
        cancel: (id) => this.#calls.byId.get(id)?.cancel(),
        leave: (id) => this.#calls.byId.get(id)?.leave(),
        due: (queueKey) => {
          const waitMs = turnMs?.(functionKeyOf(queueKey)) ?? 0
          this.#dispatcher.wake(queueKey, waitMs === 0 ? 0 : this.#clock.now() + waitMs)
        },
        joined: () => this.#waiters.notifyAll(),
      }),
    ]
  }

  /** Resolves when Redis answered, or after `ms`. */
  connected(ms: number): Promise<void> {
    return this.#server.connected(ms)
  }

  async submit(submission: Submission) {
    if (this.#draining || this.#closed) throw stopping()
    const queueKey = queueKeyOf(submission.version, submission.awaited)
    this.#configure(queueKey, submission.version)
    const ended = this.#accepting.begin(submission.version.namespace)
    const tracing = this.#options.tracing ?? null
    const accepted = await this.#server
      .taking(submission, () => acceptTraced(this.#intake, submission, tracing, this.#clock.now()))
      .finally(ended)
    if (this.#options.runs !== false) this.#queued(queueKey, accepted.notBeforeMs)
    return { id: accepted.id, duplicate: accepted.duplicate, durability: this.#server.durability }
  }

  async record(id: string): Promise<InvocationRecord | null> {
    return await this.#server.asking(() => this.#store.record(id))
  }

  async records(query: RecordQuery) {
    return await this.#server.asking(() => this.#store.records(query))
  }

  async result(id: string, waitMs: number) {
    return await askResult(id, waitMs, { ...this.#context, waiters: this.#waiters })
  }

  async forget(id: string): Promise<void> {
    await forgetResult(id, this.#context)
  }

  async leave(id: string): Promise<void> {
    await this.#server.asking(() => leaveCall(id, this.#cancelParts()))
  }

  async cancel(id: string): Promise<InvocationRecord> {
    return await this.#server.asking(() => cancelCall(id, () => this.#calls.byId.get(id), this.#cancelParts()))
  }

  #cancelParts(): CancelParts {
    const { bodiesDir, ended } = this.#context
    return { store: this.#store, jobs: this.#jobs, waiters: this.#waiters, clock: this.#clock, bodiesDir, ended }
  }

  async backlog(namespace: string, name: string): Promise<number> {
    return await this.#server.asking(() => this.#jobs.backlog(`${namespace}/${name}`))
  }

  async pauseFunction(namespace: string, name: string, paused: boolean): Promise<void> {
    const queueKey = `${namespace}/${name}`
    await this.#server.asking(() => this.#jobs.pause(queueKey, paused))
    if (!paused) {
      this.#store.announceDue(queueKey)
      this.#dispatcher.wake(queueKey)
    }
  }

  async queueState(namespace: string, name: string): Promise<QueueState> {
    const queueKey = `${namespace}/${name}`
    return await this.#server.asking(async () => {
      const [state, deadLetters] = await Promise.all([
        this.#jobs.state(queueKey),
        this.#deadLetterStore.count(queueKey),
      ])
      return { ...state, deadLetters }
    })
  }

  onFinished(listener: (record: InvocationRecord) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  available(): boolean {
    return !this.#closed && this.#redis.available() && this.refusal() === null
  }

  refusal(): string | null {
    return this.#server.refusal()
  }

  full(): string | null {
    return this.#server.full()
  }

  async start(): Promise<void> {
    if (this.#options.runs === false) return this.#keep(false)
    this.#started = true
    await this.#redis.waitAvailable(START_WAIT_MS)
    await this.#recovery.run()
    this.#keep(true)
  }

  #keep(runs: boolean): void {
    this.#maintenance.start(runs)
    this.#reconciler.start()
  }

  mended() {
    return this.#reconciler.mended
  }

  async tidy(): Promise<void> {
    await this.#server.asking(() => this.#maintenance.tidy())
  }

  async drain(ms: number): Promise<void> {
    this.#draining = true
    this.#dispatcher.stop()
    await this.#calls.drain(ms)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#draining = true
    this.#dispatcher.stop()
    this.#maintenance.stop()
    this.#reconciler.stop()
    this.#server.stop()
    this.#calls.abandon()
    for (const leave of this.#leave) leave()
    this.#waiters.notifyAll()
    await this.#jobs.close()
    await this.#redis.close()
  }

  /** A call of this queue is due then: run it here, or let those know who do. */
  #queued(queueKey: string, atMs: number): void {
    if (this.#started) this.#dispatcher.wake(queueKey, atMs)
    else this.#store.announceDue(queueKey)
  }

  async #connected(): Promise<void> {
    await this.#server.read()
    if (this.#started && !this.#recovery.done) await this.#recovery.run()
    else if (this.#recovery.done) await this.#maintenance.sweep().catch(() => {})
    this.#dispatcher.wakeAll()
  }

  /** The newest version seen says how its function's queue is served. */
  #configure(queueKey: string, { version, config }: FunctionVersion): void {
    const seen = this.#versions.get(queueKey) ?? 0
    if (version < seen) return
    this.#versions.set(queueKey, version)
    this.#dispatcher.limit(queueKey, config.concurrency)
    this.#jobs.setRate(queueKey, config.rate ?? null).catch((error: Error) => {
      this.#options.logger.debug({ queue: queueKey, reason: error.message }, 'the rate of a queue is not set yet')
    })
  }

  #attemptContext(bodiesDir: string): AttemptContext {
    const { worker, clock, logger } = this.#options
    return {
      worker,
      redis: this.#redis,
      store: this.#store,
      jobs: this.#jobs,
      clock,
      logger,
      bodiesDir,
      resultsDir: this.#resultsDir,
      pulledDir: join(this.#options.stateDir, 'pulled'),
      files: this.#options.files ?? null,
      resultMaxBytes: (namespace) => this.#use.responseBound(namespace, BODY_MAX_BYTES),
      chance: this.#options.chance ?? Math.random,
      persist: (write) =>
        persist(
          () => this.#server.noting(write),
          () => this.#closed,
          { clock, logger },
        ),
      unreadable: (job) => this.#reconciler.unreadable(job),
      ended: (record) => {
        this.#waiters.notify(record.id)
        for (const listener of this.#listeners) listener(record)
      },
      requeued: (queueKey, atMs, pauseMs) => {
        this.#dispatcher.pause(queueKey, pauseMs)
        this.#dispatcher.wake(queueKey, atMs)
      },
    }
  }
}
