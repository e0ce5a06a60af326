// Who is there: each process says so every two seconds in Redis and reads who else did. Whoever said nothing for eight seconds
// is gone. Decides nothing.
//
//   {thaw}:fleet         set   ids
//   {thaw}:fleet:<id>    hash  card (FleetMember without load, JSON), load (JSON); expires
//   {thaw}:fleet:news    channel: somebody came or left
import type { Clock, Logger } from '../../runtime/api.ts'
import type { RedisStore } from '../store/connect.ts'
import { alsoWhenFull } from '../store/scripts.ts'
import type { FleetMember, MemberLoad } from './api.ts'

const IDS = '{thaw}:fleet'
const NEWS = '{thaw}:fleet:news'
const BEAT_MS = 2_000
const GONE_MS = 8_000

// Also when Redis is full: a process that cannot say that it is there would be taken for gone.
const BEAT = alsoWhenFull(`
local known = redis.call('HGET', KEYS[1], 'card')
redis.call('HSET', KEYS[1], 'card', ARGV[2], 'load', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SADD', KEYS[2], ARGV[1])
if known ~= ARGV[2] then redis.call('PUBLISH', ARGV[5], ARGV[1]) end
return known`)
const LEAVE = `
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[1])`
const LIST = `
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local row = redis.call('HMGET', ARGV[1] .. id, 'card', 'load')
  if row[1] then found[#found + 1] = row[1]; found[#found + 1] = row[2] or ''
  else redis.call('SREM', KEYS[1], id) end
end
return found`

export type MemberCard = Omit<FleetMember, 'load'>

export interface MembersOptions {
  readonly redis: RedisStore
  readonly card: MemberCard
  /** Asked at each beat. */
  readonly load: () => MemberLoad | null
  readonly clock: Clock
  readonly logger: Logger
}

export class Members {
  readonly #options: MembersOptions
  readonly #leave: (() => void)[] = []
  readonly #listeners = new Set<() => void>()
  #known = new Map<string, FleetMember>()
  #workerIds: readonly string[] = []
  #timer: () => void = () => {}
  #reading: Promise<void> | null = null
  #joined = false
  #closed = false

  constructor(options: MembersOptions) {
    this.#options = options
  }

  get self(): string {
    return this.#options.card.id
  }

  /** Reads who is there; says nothing of itself yet. Never rejects. */
  async open(): Promise<this> {
    const { redis } = this.#options
    const look = (): void => void this.#read()
    this.#leave.push(redis.subscribe(NEWS, look, look), redis.onAvailable(look))
    await this.#read()
    this.#tick()
    return this
  }

  /** From here on the others see it. Rejects when another machine uses the same id; not for want of Redis. */
  async join(): Promise<void> {
    const { card } = this.#options
    const known = this.#known.get(card.id)
    if (known !== undefined && known.hostName !== card.hostName)
      throw Object.assign(
        new Error(
          `the state directory's id ${card.id} is in use on host ${known.hostName} (process ${known.pid}): it was copied; remove the file \`id\` in this one`,
        ),
        { code: 'HOST_UNSUITABLE' },
      )
    this.#joined = true
    // While Redis is away the next beat says it.
    await this.beatNow()
    await this.#read()
  }

  /** Sorted by id, this process included once it joined. */
  list(): FleetMember[] {
    return [...this.#known.values()]
  }

  get(id: string): FleetMember | undefined {
    return this.#known.get(id)
  }

  /** Those that take calls; the least busy first. */
  workers(): FleetMember[] {
    const found = this.list().filter(({ machine, load }) => machine !== null && load !== null && !load.draining)
    return found.sort((a, b) => busyness(a) - busyness(b))
  }

  /** Ids of those that take calls and no others, as of the last look. */
  workerIds(): readonly string[] {
    return this.#workerIds
  }

  /** Those that keep files, `first` before all others. */
  keepers(first: string | null): FleetMember[] {
    const found = this.list().filter(({ filesUrl, id }) => filesUrl !== null && id !== this.self)
    return found.sort((a, b) => Number(b.id === first) - Number(a.id === first))
  }

  /** Told after each look at who is there. The returned function unsubscribes. */
  onLook(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** A beat out of turn: the load changed in a way others should know. */
  async beatNow(): Promise<void> {
    await this.#beat().catch(() => {})
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer()
    for (const leave of this.#leave.splice(0)) leave()
    const { redis, card } = this.#options
    if (this.#joined) await redis.script(LEAVE, [keyOf(card.id), IDS], [card.id, NEWS]).catch(() => {})
  }

  #tick(): void {
    if (this.#closed) return
    this.#timer = this.#options.clock.after(BEAT_MS, () => {
      this.#beat()
        .then(() => this.#read())
        .catch((error: Error) => this.#options.logger.debug({ reason: error.message }, 'no beat: redis is away'))
        .finally(() => this.#tick())
    })
  }

  async #beat(): Promise<void> {
    if (!this.#joined || this.#closed) return
    const { redis, card, load } = this.#options
    const args = [card.id, JSON.stringify(card), JSON.stringify(load()), GONE_MS, NEWS]
    await redis.script(BEAT, [keyOf(card.id), IDS], args)
  }

  #read(): Promise<void> {
    this.#reading ??= this.#readAll()
      .catch((error: Error) =>
        this.#options.logger.debug({ reason: error.message }, 'who is there could not be read: what is known holds'),
      )
      .finally(() => {
        this.#reading = null
      })
    return this.#reading
  }

  async #readAll(): Promise<void> {
    const flat = (await this.#options.redis.script(LIST, [IDS], [keyOf('')])) as string[]
    const found: FleetMember[] = []
    for (let index = 0; index + 1 < flat.length; index += 2) {
      const member = memberIn(flat[index]!, flat[index + 1]!)
      if (member !== null) found.push(member)
    }
    found.sort((a, b) => (a.id < b.id ? -1 : 1))
    this.#known = new Map(found.map((member) => [member.id, member]))
    // A platform takes its own calls first and leaves others to those who do nothing else.
    this.#workerIds = this.workers().flatMap(({ id, role }) => (role === 'worker' ? [id] : []))
    for (const listener of [...this.#listeners]) listener()
  }
}

/** null: whoever may write to Redis may write anything, and one card nobody can read must not hide the others. */
function memberIn(card: string, load: string): FleetMember | null {
  try {
    const member: FleetMember = { ...(JSON.parse(card) as MemberCard), load: load === '' ? null : JSON.parse(load) }
    return typeof member.id === 'string' && isMachine(member.machine) && isLoad(member.load) ? member : null
  } catch {
    return null
  }
}

function isMachine(machine: FleetMember['machine']): boolean {
  return machine === null || (typeof machine.cores === 'number' && isObject(machine.limits))
}

function isLoad(load: MemberLoad | null): boolean {
  return load === null || ([load.running, load.waiting].every(Number.isFinite) && isObject(load.sandboxes))
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

function busyness({ load, machine }: FleetMember): number {
  return load === null || machine === null ? 0 : (load.running + load.waiting) / machine.cores
}

function keyOf(id: string): string {
  return `{thaw}:fleet:${id}`
}
