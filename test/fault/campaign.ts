// One campaign: a house, functions, clients that submit at a steady rate, faults that strike at random instants meanwhile, and the
// account at the end.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT } from '../support/platform.ts'
import { type Account, account, type Fault, isClean } from './account.ts'
import { askFates, askJournal, askList, askOpen } from './ask.ts'
import { Clients } from './clients.ts'
import type { FaultKind, FaultScale } from './faults.ts'
import { House, type HouseKind } from './house.ts'
import { type Chance, chanceOf } from './random.ts'

export interface CampaignOptions {
  readonly house: HouseKind
  readonly kinds: readonly FaultKind[]
  /** At least so many calls, and so many faults of each kind. */
  readonly calls: number
  readonly kills: number
  readonly clients: number
  /** Calls a second, at most: how hard the machine is pushed. */
  readonly rate: number
  readonly seed: number
  /** No fault begins after so much time. */
  readonly limitMs: number
  readonly scale: FaultScale
  readonly logFile?: string | undefined
  /** No fault begins any more; what there was is accounted for. */
  readonly stop?: AbortSignal | undefined
  readonly say: (line: string) => void
}

export interface CampaignResult {
  readonly house: HouseKind
  readonly kinds: readonly string[]
  readonly seed: number
  readonly kills: number
  readonly seconds: number
  readonly account: Account
  /** From each fault to `/readyz` 200, ms. */
  readonly backMs: readonly number[]
  /** Whatever else went wrong: left-overs, answers that make no sense, a platform that did not come back. */
  readonly troubles: readonly string[]
  readonly clean: boolean
}

const FIXTURE = join(ROOT, 'test', 'fixtures', 'functions', 'journal.ts')
/** One call a sandbox, and many. */
const FUNCTIONS = ['journal', 'journal-shared'] as const
/** A call of the campaign's own, before the first fault. */
const PROBE = 'probe'
const DRAIN_MS = 60_000
const GAP_MS = 600
const STRIKES_MAX = 50

/** Runs it to its end. Needs root. Rejects only when it cannot be begun. */
export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const startedMs = performance.now()
  const { kinds } = options
  const needs = (what: string): boolean => kinds.some((kind) => kind.needs === what)
  const { house: kind, logFile } = options
  const house = await House.open({
    kind,
    ownDisk: needs('disk'),
    ownClock: needs('clock'),
    ownWire: needs('wire'),
    logFile,
  })
  const troubles: string[] = []
  const running = new Running(options, house)
  let counted: Account | null = null
  try {
    running.probes = await deploy(house)
    await running.run()
    counted = await running.count()
    troubles.push(...running.troubles)
    if (!isClean(counted)) troubles.push(`its last lines:\n${house.lastLines()}`)
  } catch (error) {
    troubles.push(...running.troubles, (error as Error).message, house.lastLines())
  }
  troubles.push(...(await house.close()))
  const result = counted ?? account({ submitted: [], fates: new Map(), listed: [], runs: [], faults: [] })
  return {
    house: options.house,
    kinds: kinds.map((one) => one.name),
    seed: options.seed,
    kills: running.faults.length,
    seconds: Math.round((performance.now() - startedMs) / 1000),
    account: result,
    backMs: running.faults.map((fault) => Math.round(fault.untilMs - fault.fromMs)),
    troubles,
    clean: counted !== null && isClean(result) && troubles.length === 0,
  }
}

class Running {
  readonly faults: Fault[] = []
  readonly troubles: string[] = []
  /** Ids of the campaign's own calls. */
  probes: readonly string[] = []
  readonly #options: CampaignOptions
  readonly #house: House
  readonly #clients: Clients
  readonly #chance: Chance
  readonly #planned: readonly FaultKind[]
  #done = false
  #nextMs = 0

  constructor(options: CampaignOptions, house: House) {
    this.#options = options
    this.#house = house
    this.#chance = chanceOf(options.seed)
    this.#planned = shuffled(
      options.kinds.flatMap((kind) => Array.from({ length: options.kills }, () => kind)),
      this.#chance,
    )
    const { clients } = options
    const chance = this.#chance.fork()
    this.#clients = new Clients({ house, clients, chance, functions: FUNCTIONS, more: () => this.#more() })
  }

  /** Never rejects: what there was is accounted for, whatever went wrong. */
  async run(): Promise<void> {
    const submitting = this.#clients.run()
    try {
      await this.#strikeAll()
    } catch (error) {
      this.troubles.push((error as Error).message)
    }
    this.#done = true
    await submitting
  }

  async count(): Promise<Account> {
    const { submitted, odd } = this.#clients
    this.troubles.push(...odd.slice(0, 20))
    this.#options.say(`faults are over: ${this.faults.length}; waiting for ${this.#clients.acknowledged} calls to end`)
    await this.#house.ready()
    const fates = await askFates(this.#house, submitted, DRAIN_MS)
    const open = await askOpen(this.#house, DRAIN_MS)
    const listed = await askList(this.#house)
    const runs = (await askJournal(this.#house, FUNCTIONS[0])).filter(({ key }) => key !== PROBE)
    return account({
      submitted,
      fates,
      listed: listed.filter((id) => !this.probes.includes(id)),
      runs,
      faults: this.faults,
      open,
    })
  }

  async #strikeAll(): Promise<void> {
    const { calls, rate, limitMs } = this.#options
    const endMs = performance.now() + limitMs
    // About half of the calls come while faults are under way.
    const gapMs = Math.max(GAP_MS, (1000 * calls) / rate / Math.max(1, this.#planned.length) / 2)
    for (const [index, kind] of this.#planned.entries()) {
      if (performance.now() > endMs || this.#options.stop?.aborted) {
        this.#options.say(`stopped after ${index} of ${this.#planned.length} faults`)
        return
      }
      await sleep(this.#chance.below(2 * gapMs))
      await this.#strike(kind, index)
    }
    await this.#allSubmitted(endMs)
  }

  async #strike(kind: FaultKind, index: number): Promise<void> {
    const fromMs = Date.now()
    const struck = await this.#strikeWhenThereIs(kind)
    const untilMs = Date.now()
    if (struck) this.faults.push({ kind: kind.name, fromMs, untilMs, endsAttempts: kind.endsAttempts })
    else this.troubles.push(`${kind.name} ${index + 1} found nothing to strike`)
    this.#options.say(
      `${index + 1}/${this.#planned.length} ${kind.name}: ${struck ? `${untilMs - fromMs} ms` : 'nothing to strike'}, ${this.#clients.acknowledged} calls acknowledged`,
    )
  }

  /** A sandbox may just be between two lives. */
  async #strikeWhenThereIs(kind: FaultKind): Promise<boolean> {
    for (let tries = 0; tries < STRIKES_MAX; tries++) {
      if (await kind.strike(this.#house, this.#chance, this.#options.scale)) return true
      await sleep(100)
    }
    return false
  }

  async #allSubmitted(endMs: number): Promise<void> {
    while (this.#clients.submitted.length < this.#options.calls) {
      if (performance.now() > endMs || this.#options.stop?.aborted) return
      await sleep(20)
    }
  }

  /** Clients ask for their turn: the rate holds over all of them, faults or not. */
  async #more(): Promise<boolean> {
    const nowMs = performance.now()
    this.#nextMs = Math.max(nowMs, this.#nextMs) + 1000 / this.#options.rate
    await sleep(this.#nextMs - nowMs)
    return !this.#done
  }
}

/** Resolves to the ids of one call of each function, which prove that it works. */
async function deploy(house: House): Promise<string[]> {
  const probes: string[] = []
  const isNamed = house.disk === null && house.kind === 'together'
  const volume = isNamed ? 'journal:/journal' : `${house.journalDir}:/journal:rw`
  if (isNamed) await house.fn('volume', 'create', 'journal', '--size', '256m')
  await house.fn('deploy', FIXTURE, '--name', FUNCTIONS[0], '--volume', volume, '--concurrency', '4')
  await house.fn('deploy', FIXTURE, '--name', FUNCTIONS[1], '--volume', volume, '--sandbox-concurrency', '8')
  for (const name of FUNCTIONS) {
    const response = await house.request(`/fn/${name}?key=${PROBE}`, { method: 'POST', body: 'x' })
    const text = await response.text()
    if (response.status !== 200) throw new Error(`the function under test does not work: ${response.status} ${text}`)
    probes.push(response.headers.get('fn-invocation-id') ?? '')
  }
  return probes
}

function shuffled<T>(items: readonly T[], chance: Chance): T[] {
  const mixed = [...items]
  for (let index = mixed.length - 1; index > 0; index--) {
    const other = chance.below(index + 1)
    const [one, two] = [mixed[index]!, mixed[other]!]
    mixed[index] = two
    mixed[other] = one
  }
  return mixed
}
