// What schedules are and what their keeper promises. Data and an interface; nothing runs here.

/** What fires and what is sent when it does. */
export interface ScheduleSpec {
  /** Five fields, six with seconds first, or a nickname such as `@daily`. */
  readonly cron: string
  /** IANA name, e.g. `Europe/Zurich`. */
  readonly timeZone: string
  readonly method: string
  /** `/path?query` as the function sees it. */
  readonly path: string
  /** Of the body; null when there is none. */
  readonly contentType: string | null
  /** The body: sent as JSON, or a text as it is when `contentType` is not JSON's; null for no body. */
  readonly payload: unknown
  /** What becomes of runs whose time passed while no platform ran: one for all of them, or none. */
  readonly missed: 'run-once' | 'skip'
  readonly paused: boolean
}

/** The last time a schedule's time came; times RFC 3339 UTC. */
export interface LastFire {
  readonly scheduledAt: string
  readonly firedAt: string
  /** The call it made; null when it made none. */
  readonly invocation: string | null
  /** Why it made none: `missed` with `skip`, or the function could not be resolved. */
  readonly skipped: string | null
}

export interface Schedule extends ScheduleSpec {
  readonly namespace: string
  readonly function: string
  readonly name: string
  readonly createdAt: string
  readonly updatedAt: string
  /** RFC 3339 UTC; null while paused. */
  readonly nextAt: string | null
  readonly last: LastFire | null
}

/** Keeps schedules in Redis and queues a call each time one is due. All throw QueueError QUEUE_UNAVAILABLE while Redis is away. */
export interface Schedules {
  /** Creates or replaces. Throws SCHEDULE_INVALID. */
  set(
    namespace: string,
    functionName: string,
    name: string,
    spec: ScheduleSpec,
  ): Promise<{ readonly schedule: Schedule; readonly created: boolean }>
  /** Throws SCHEDULE_NOT_FOUND. */
  get(namespace: string, functionName: string, name: string): Promise<Schedule>
  /** By name. */
  list(namespace: string, functionName: string): Promise<Schedule[]>
  /** Throws SCHEDULE_NOT_FOUND. */
  remove(namespace: string, functionName: string, name: string): Promise<void>
  /** Those of a function that goes. Resolves to how many there were. */
  removeAll(namespace: string, functionName: string): Promise<number>
  /** The next times a schedule would fire, paused or not; RFC 3339 UTC. */
  nextRuns(schedule: ScheduleSpec, count: number): string[]
  /** Begins to fire. */
  start(): void
  /** Ends firing; what is being queued is waited for. Idempotent. */
  close(): Promise<void>
}
