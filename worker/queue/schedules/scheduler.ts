// Keeps schedules and queues a call each time one is due. What is due lies in Redis, so it survives this process and is shared
// with others; what a late run becomes is fire-policy.ts's.
import { type Clock, type Logger, Turns } from '../../../runtime/api.ts'
import { isoTime } from '../../iso-time.ts'
import type { Registry } from '../../registry/api.ts'
import { RegistryError } from '../../registry/api.ts'
import { isDnsLabel } from '../../registry/names.ts'
import { QuotaRate } from '../../registry/quota-rates.ts'
import type { Quotas } from '../../registry/quotas.ts'
import type { RedisStore } from '../../store/connect.ts'
import { type DurableLane, QueueError, type Submission } from '../api.ts'
import { derivedId, drawOfId } from '../derived-id.ts'
import { LookLoop } from '../look-loop.ts'
import { ownSubmission } from '../own-submission.ts'
import { type CronTimes, parseCron } from './cron.ts'
import { decideFire } from './fire-policy.ts'
import { LostTimes } from './lost-times.ts'
import { type DueSchedule, type KeptSchedule, ScheduleStore, type StoredSchedule } from './schedule-store.ts'
import type { LastFire, Schedule, ScheduleSpec, Schedules } from './types.ts'

export interface SchedulerOptions {
  readonly redis: RedisStore
  readonly lane: Pick<DurableLane, 'submit'>
  readonly registry: Pick<Registry, 'resolve' | 'list'>
  /** How many a namespace may have, and fire a second; default: any number. */
  readonly quotas?: Quotas
  readonly clock: Clock
  readonly logger: Logger
}

const MOST_PER_FUNCTION = 100
/** Fired at once, of all namespaces and of one. */
const AT_ONCE = 64
const OF_NAMESPACE = 16
/** Namespaces looked at, those first whose time came first. */
const NAMESPACES = 500
/** A fire this late, of a namespace at its rate, was put off by that. */
const LATE_MS = 1_000
/** News may get lost, clocks are set: look again after so long at most. */
const LOOK_MS = 10_000
const AGAIN_MS = 1_000
const PARSED_MAX = 5_000

/** Fires nothing before `start`. Owns a subscription and a timer until `close`, not the connection. */
export function createSchedules(options: SchedulerOptions): Schedules {
  return new Scheduler(options)
}

class Scheduler implements Schedules {
  readonly #options: SchedulerOptions
  readonly #store: ScheduleStore
  /** Of each namespace one is added at a time, so that they do not slip past its bound together. */
  readonly #turns = new Turns()
  readonly #parsed = new Map<string, CronTimes>()
  readonly #leave: (() => void)[] = []
  readonly #loop: LookLoop
  readonly #lost: LostTimes
  readonly #rate: QuotaRate | null
  /** When namespaces may fire again, `Clock.monotonicMs`: those at their rate, or whose schedules could not be fired. */
  readonly #held = new Map<string, number>()
  /** Those that have more due than their rate lets them fire. */
  readonly #atRate = new Set<string>()
  /** Of namespaces that had something due: in which round they were served last. */
  readonly #served = new Map<string, number>()
  #round = 0
  #dividedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: SchedulerOptions) {
    this.#options = options
    this.#store = new ScheduleStore(options.redis)
    this.#rate = options.quotas === undefined ? null : new QuotaRate(options.quotas, 'firesPerSecond', options.clock)
    options.quotas?.report('schedules', (namespace) => this.#count(namespace))
    this.#loop = new LookLoop({ ...options, what: 'schedules', work: () => this.#fireDue() })
    const nextAfter = (schedule: StoredSchedule, ms: number) => this.#times(schedule).after(ms)
    this.#lost = new LostTimes({ ...options, store: this.#store, nextAfter, found: () => this.#loop.look() })
  }

  async set(namespace: string, functionName: string, name: string, spec: ScheduleSpec) {
    if (!isDnsLabel(name))
      throw invalid(`schedule name: expected a DNS label (a-z, 0-9, -), got ${JSON.stringify(name.slice(0, 80))}`)
    const nowMs = this.#options.clock.now()
    const times = parseCron(spec.cron, spec.timeZone, nowMs)
    const nextAtMs = spec.paused ? null : times.after(nowMs)
    const before = await this.#asking(() => this.#store.read(namespace, functionName, name))
    const nowIso = isoTime(nowMs)
    const createdAt = before?.stored.createdAt ?? nowIso
    const stored = { namespace, function: functionName, name, ...spec, createdAt, updatedAt: nowIso }
    const set = () => this.#asking(() => this.#store.set(stored, nextAtMs, MOST_PER_FUNCTION))
    const created = before === null ? await this.#add(namespace, set) : await set()
    if (created === null) throw invalid(`${functionName} has ${MOST_PER_FUNCTION} schedules, which is the most`)
    return { schedule: scheduleOf({ stored, nextAtMs, last: before?.last ?? null }), created }
  }

  async #add<T>(namespace: string, set: () => Promise<T>): Promise<T> {
    const { quotas } = this.#options
    if (quotas === undefined || quotas.quotaOf(namespace, 'schedules') === null) return await set()
    return await this.#turns.take(namespace, async () => {
      quotas.expect(namespace, 'schedules', await this.#count(namespace))
      return await set()
    })
  }

  #count(namespace: string): Promise<number> {
    const names = this.#options.registry.list(namespace).map(({ name }) => name)
    return this.#asking(() => this.#store.count(namespace, names))
  }

  async get(namespace: string, functionName: string, name: string): Promise<Schedule> {
    const kept = await this.#asking(() => this.#store.read(namespace, functionName, name))
    if (kept === null) throw notFound(functionName, name)
    return scheduleOf(kept)
  }

  async list(namespace: string, functionName: string): Promise<Schedule[]> {
    return (await this.#asking(() => this.#store.readAll(namespace, functionName))).map(scheduleOf)
  }

  async remove(namespace: string, functionName: string, name: string): Promise<void> {
    const gone = await this.#asking(() => this.#store.remove(namespace, functionName, name))
    if (!gone) throw notFound(functionName, name)
  }

  async removeAll(namespace: string, functionName: string): Promise<number> {
    return await this.#asking(() => this.#store.removeAll(namespace, functionName))
  }

  nextRuns(schedule: ScheduleSpec, count: number): string[] {
    let atMs: number | null = this.#options.clock.now()
    const times = this.#times(schedule)
    const runs: string[] = []
    while (runs.length < count) {
      atMs = times.after(atMs)
      if (atMs === null) break
      runs.push(isoTime(atMs))
    }
    return runs
  }

  start(): void {
    if (this.#loop.closed) return
    const look = (): void => this.#loop.look()
    this.#leave.push(this.#store.follow(look), this.#options.redis.onAvailable(look))
    look()
    this.#lost.start()
  }

  async close(): Promise<void> {
    for (const leave of this.#leave.splice(0)) leave()
    this.#lost.close()
    await this.#loop.close()
  }

  /** Resolves to how long nothing will be due. */
  async #fireDue(): Promise<number> {
    const { clock } = this.#options
    await this.#divide()
    for (;;) {
      const times = await this.#store.firstTimes(NAMESPACES)
      const open = times.filter(({ namespace }) => !this.#isHeld(namespace))
      const due = open.filter(({ atMs }) => atMs <= clock.now()).map(({ namespace }) => namespace)
      if (this.#loop.closed) return 0
      if (due.length > 0) {
        await this.#fireRound(due)
        continue
      }
      const monotonicMs = clock.monotonicMs()
      const holds = [...this.#held.values()].map((untilMs) => untilMs - monotonicMs)
      const next = open[0] === undefined ? LOOK_MS : open[0].atMs - clock.now()
      return Math.min(LOOK_MS, Math.max(0, Math.min(next, ...holds)))
    }
  }

  /** Takes over what an earlier release wrote, which may still be running. */
  async #divide(): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs < this.#dividedAtMs + LOOK_MS) return
    await this.#store.divide()
    this.#dividedAtMs = nowMs
  }

  #isHeld(namespace: string): boolean {
    const untilMs = this.#held.get(namespace)
    if (untilMs === undefined) return false
    if (untilMs > this.#options.clock.monotonicMs()) return true
    this.#held.delete(namespace)
    return false
  }

  /** Each namespace fires a few of what it has due, at the same time as the others; those whose turn is longest ago begin. */
  async #fireRound(due: readonly string[]): Promise<void> {
    const round = ++this.#round
    const since = (namespace: string): number => this.#served.get(namespace) ?? 0
    const inTurn = [...due].sort((one, other) => since(one) - since(other)).slice(0, AT_ONCE)
    const most = Math.max(1, Math.min(OF_NAMESPACE, Math.floor(AT_ONCE / inTurn.length)))
    if (this.#served.size > 2 * NAMESPACES) this.#served.clear()
    for (const namespace of inTurn) this.#served.set(namespace, round)
    await Promise.all(inTurn.map((namespace) => this.#fireSome(namespace, most)))
  }

  async #fireSome(namespace: string, most: number): Promise<void> {
    const { clock } = this.#options
    const due = await this.#store.due(namespace, clock.now(), most)
    const firing: Promise<boolean>[] = []
    let waitMs = 0
    for (const one of due) {
      waitMs = this.#rate?.take(namespace) ?? 0
      if (waitMs > 0) break
      firing.push(this.#fire(one))
    }
    const fired = await Promise.all(firing)
    // What could not be fired stays due, and first.
    if (fired.includes(false)) waitMs = Math.max(waitMs, AGAIN_MS)
    if (waitMs > 0) this.#held.set(namespace, clock.monotonicMs() + waitMs)
    if (firing.length < due.length) this.#atRate.add(namespace)
    else if (due.length < most) this.#atRate.delete(namespace)
  }

  /** False: it stays due. */
  async #fire(due: DueSchedule): Promise<boolean> {
    const { clock, logger } = this.#options
    const schedule = await this.#store.take(due)
    if (schedule === null) return false
    const nowMs = clock.now()
    if (nowMs - Number(due.score) > LATE_MS && this.#atRate.has(schedule.namespace))
      this.#options.quotas?.countRefusal(schedule.namespace, 'firesPerSecond')
    let nextAtMs: number | null
    let last: LastFire
    try {
      const decision = decideFire(Number(due.score), nowMs, schedule.missed, this.#times(schedule))
      nextAtMs = decision.nextAtMs
      const fate = decision.runs ? await this.#submit(schedule, decision.scheduledAtMs) : { skipped: 'missed' }
      last = { invocation: null, skipped: null, ...fate, ...timesOf(decision.scheduledAtMs, nowMs) }
    } catch (error) {
      // That nothing more is accepted is said once, not by each schedule each second.
      const isFull = error instanceof QueueError && error.code === 'QUEUE_FULL'
      const fields = { schedule: due.member, reason: (error as Error).message }
      logger[isFull ? 'debug' : 'warn'](fields, 'a schedule could not be fired yet')
      await this.#store.release(due)
      return false
    }
    if (last.skipped !== null) logger.warn({ schedule: due.member, reason: last.skipped }, 'a schedule made no call')
    await this.#store.advance(due, nextAtMs, last)
    return true
  }

  /** CONTRACT: the id follows from schedule and time, so a run that is queued twice is one call. */
  async #submit(
    schedule: StoredSchedule,
    scheduledAtMs: number,
  ): Promise<{ readonly invocation: string } | { readonly skipped: string }> {
    const { namespace, function: functionName, name } = schedule
    const id = derivedId(scheduledAtMs, 'schedule', namespace, functionName, name)
    try {
      const version = this.#options.registry.resolve(namespace, functionName, null, drawOfId(id))
      await this.#options.lane.submit(submissionOf(schedule, scheduledAtMs, id, version))
      return { invocation: id }
    } catch (error) {
      if (error instanceof RegistryError) return { skipped: error.message }
      throw error
    }
  }

  #times({ cron, timeZone }: ScheduleSpec): CronTimes {
    const key = `${timeZone} ${cron}`
    let times = this.#parsed.get(key)
    if (times === undefined) {
      times = parseCron(cron, timeZone, this.#options.clock.now())
      if (this.#parsed.size >= PARSED_MAX) this.#parsed.delete(this.#parsed.keys().next().value!)
      this.#parsed.set(key, times)
    }
    return times
  }

  async #asking<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      if (error instanceof QueueError) throw error
      const message = `schedules cannot be reached: ${(error as Error).message}`
      throw new QueueError('QUEUE_UNAVAILABLE', message, { cause: error, retryAfterS: 2 })
    }
  }
}

function submissionOf(
  schedule: StoredSchedule,
  scheduledAtMs: number,
  id: string,
  version: Submission['version'],
): Submission {
  const body = bodyOf(schedule)
  const headers = ['Host', `${schedule.function}.localhost`]
  if (body !== null) headers.push('Content-Type', schedule.contentType ?? 'application/json')
  if (body !== null) headers.push('Content-Length', String(body.length))
  headers.push('Fn-Schedule', schedule.name, 'Fn-Scheduled-At', isoTime(scheduledAtMs))
  return ownSubmission({
    id,
    version,
    method: schedule.method,
    target: schedule.path,
    headers,
    body,
    caller: 'schedule',
  })
}

function bodyOf({ payload, contentType }: ScheduleSpec): Buffer | null {
  if (payload === null || payload === undefined) return null
  const asItIs = typeof payload === 'string' && contentType !== null && !/[/+]json\b/i.test(contentType)
  return Buffer.from(asItIs ? payload : JSON.stringify(payload))
}

function scheduleOf({ stored, nextAtMs, last }: KeptSchedule): Schedule {
  return { ...stored, nextAt: nextAtMs === null ? null : isoTime(nextAtMs), last }
}

function timesOf(scheduledAtMs: number, nowMs: number) {
  return { scheduledAt: isoTime(scheduledAtMs), firedAt: isoTime(nowMs) }
}

function invalid(message: string): QueueError {
  return new QueueError('SCHEDULE_INVALID', message)
}

function notFound(functionName: string, name: string): QueueError {
  return new QueueError('SCHEDULE_NOT_FOUND', `${functionName} has no schedule ${JSON.stringify(name.slice(0, 80))}`)
}
