// One soak from the first deploy to the last look for left-overs: the minutes under load, the strikes on the aged platform, and
// those of the clock on a second one over the same state, whose processes follow a clock of their own.
import { setTimeout as sleep } from 'node:timers/promises'
import { clockEnvironment, removeClockShares, writeOffset } from '../fault/own-clock.ts'
import { startPlatform } from '../support/platform.ts'
import { streamsOf, type Tally } from './load.ts'
import { resultTtlS, type SoakOptions, seesExpiry } from './options.ts'
import { closeFolder, makeWritable, type OwnFolder, openFolder } from './own-folder.ts'
import { growthLines } from './page.ts'
import { logFilesOf, RotationWatch } from './rotation.ts'
import { type Sample, sample } from './samples.ts'
import { Session } from './session.ts'
import { growthsOf } from './slopes.ts'
import { type Strike, type StrikeReport, strikeUnderLoad } from './strike.ts'
import { clockMoves, diskIsFull, redisStandsStill } from './strikes.ts'
import { Witnesses } from './witnesses.ts'

const SAMPLE_MS = 10_000
/** An hour takes 300 to 450: images 127, append-only file up to 128, logs at their bound 160, ballast 16. */
const DISK_MB = 1024
/** Looks that find no platform: it is dead, and what was seen so far is told. */
const MOST_MISSING = 6
/** Of the looks, one in so many sends witnesses and says how it goes. */
const NOW_AND_THEN = 30

export class SoakRun {
  readonly samples: Sample[] = []
  readonly events: string[] = []
  readonly strikes: StrikeReport[] = []
  readonly bounds: string[] = []
  readonly troubles: string[] = []
  tallies: ReadonlyMap<string, Tally> = new Map()
  readonly #options: SoakOptions
  readonly #stop: AbortSignal
  readonly #startedMs = performance.now()

  constructor(options: SoakOptions, stop: AbortSignal) {
    this.#options = options
    this.#stop = stop
  }

  /** Never rejects once there is a folder: what was seen is told. */
  async run(): Promise<void> {
    const { faults } = this.#options
    const folder = await openFolder(faults ? DISK_MB : null)
    try {
      await this.#hour(folder)
      if (faults && this.troubles.length === 0 && !this.#stop.aborted) await this.#clock(folder)
    } catch (error) {
      this.#trouble((error as Error).message)
    }
    await closeFolder(folder.path).then(
      () => this.#say('its folder and disk are gone'),
      (error: Error) => this.#trouble(error.message),
    )
    if (this.#stop.aborted) this.#trouble('it was stopped before its end')
  }

  async #hour(folder: OwnFolder): Promise<void> {
    const ttlS = resultTtlS(this.#options)
    const { faults, outageMs } = this.#options
    await this.#with(folder, { FN_RESULT_TTL: `${ttlS}s` }, async (session) => {
      this.tallies = session.tallies
      await session.deployAll()
      session.begin()
      await this.#watch(session, new Witnesses(session.platform, ttlS))
      const redis = outageMs > 0 ? [redisStandsStill(session.platform, outageMs)] : []
      await this.#strikeAll(session, folder, [...redis, ...(faults ? [diskIsFull(folder)] : [])])
    })
  }

  /** Results are kept for a day here: an hour ahead they would be over. */
  async #clock(folder: OwnFolder): Promise<void> {
    writeOffset(folder.clockFile, 0)
    let pid = 0
    await this.#with(folder, clockEnvironment(folder.clockFile), async (session) => {
      pid = session.platform.pid
      session.begin()
      await this.#strikeAll(session, folder, clockMoves(folder, session.platform))
    })
    removeClockShares(pid)
  }

  /** A platform on the folder's state, with its load until `work` is done, drained, stopped, and nothing left of it. */
  async #with(
    folder: OwnFolder,
    env: Record<string, string>,
    work: (session: Session) => Promise<void>,
  ): Promise<void> {
    const { stateDir, path, beside } = folder
    const platform = await startPlatform({ stateDir, env: { ...env, FN_VOLUME_ROOTS: path } })
    const session = new Session(platform, streamsOf(this.#options.scale, this.#options.minutes), beside)
    try {
      await work(session)
      this.#say(`the last accepted call was over ${await session.end()} ms after the last was sent`)
    } catch (error) {
      this.#trouble(`${(error as Error).message}\nthe platform printed last:\n${platform.output().slice(-2000)}`)
      await session.abandon()
    }
    await platform.stop().then(
      () => this.#say('stopped, and nothing is left over'),
      (error: Error) => this.#trouble(error.message),
    )
  }

  async #strikeAll(session: Session, folder: OwnFolder, strikes: readonly Strike[]): Promise<void> {
    const place = {
      session,
      sources: folder.beside,
      writable: (name: string) => makeWritable(folder, name),
      say: (line: string) => this.#say(line),
    }
    for (const strike of strikes) {
      if (this.#stop.aborted) return
      this.strikes.push(await strikeUnderLoad(place, strike, this.strikes.length + 1))
    }
  }

  /** The minutes under load. Throws when the platform is gone. */
  async #watch(session: Session, witnesses: Witnesses): Promise<void> {
    const { platform } = session
    const rotation = new RotationWatch()
    const endMs = performance.now() + this.#options.minutes * 60_000
    let missing = 0
    for (let turn = 0; performance.now() < endMs && !this.#stop.aborted; turn++) {
      const one = await sample(platform, this.#startedMs).catch((error: Error) => error)
      if (one instanceof Error) this.#say(`no sample: ${one.message}`)
      else this.samples.push(one)
      missing = one instanceof Error ? missing + 1 : 0
      if (missing === MOST_MISSING) throw new Error('the platform is gone')
      if (turn % NOW_AND_THEN === 0) await witnesses.send().catch((error: Error) => this.#trouble(error.message))
      await witnesses.look()
      rotation.look(logFilesOf(platform.stateDir))
      if (turn % NOW_AND_THEN === NOW_AND_THEN - 1) this.#print(growthLines(growthsOf(this.samples)).join('\n'))
      const waitMs = Math.max(0, Math.min(SAMPLE_MS, endMs - performance.now()))
      await sleep(waitMs, undefined, { signal: this.#stop }).catch(() => {})
    }
    this.bounds.push(...rotation.lines(), ...witnesses.lines())
    for (const line of this.bounds) this.#say(line)
    const isShort = this.#stop.aborted || !seesExpiry(this.#options)
    if (!isShort && rotation.turnedOver.length === 0) this.troubles.push('no log files were seen to turn over')
    if (!isShort && witnesses.keptS.length === 0) this.troubles.push('no result was seen to end')
    this.troubles.push(...rotation.troubles, ...witnesses.troublesAt(performance.now()))
  }

  #trouble(text: string): void {
    this.troubles.push(text)
    this.#say(text)
  }

  #say(line: string): void {
    const at = `${Math.round((performance.now() - this.#startedMs) / 1000)} s: ${line}`
    this.events.push(at)
    this.#print(at)
  }

  #print(text: string): void {
    process.stderr.write(`${text}\n`)
  }
}
