// One fault while the load goes on: what callers were told, what the platform said of itself, how long until everything worked
// again, and the account of every call that was accepted meanwhile (the fault campaign's clients and account).
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Account, isClean } from '../fault/account.ts'
import { type Platform, ROOT } from '../support/platform.ts'
import { Accounted } from './accounted.ts'
import {
  type Answers,
  answersBetween,
  copyOf,
  type Look,
  missedWords,
  newLines,
  readinessLines,
  rightShare,
} from './answers.ts'
import { deployNew, type Recovery, recoveryLine, untilAllWorks } from './recovery.ts'
import type { Session } from './session.ts'

/** What is done to a platform under load. */
export interface Strike {
  readonly name: string
  /** A run that it ends counts as an attempt. */
  readonly endsAttempts: boolean
  readonly ms: number
  /** What `/readyz` has to say meanwhile; null: that it is ready, all the time. */
  readonly says: RegExp | null
  /** Strikes for `ms`; resolves when it is taken back. */
  readonly run: () => Promise<void>
}

export interface StrikeReport {
  readonly name: string
  readonly seconds: number
  /** By stream, until all worked again. */
  readonly answers: Readonly<Record<string, Answers>>
  /** What `/readyz` said, `fn doctor` besides what it says else, and a deploy in the middle of it. */
  readonly readiness: readonly string[]
  readonly doctor: readonly string[]
  readonly deploy: string
  /** Before, and from the end of the strike. null: it did not come back. */
  readonly before: Recovery
  readonly after: Recovery | null
  /** Of the answers in the ten seconds after, those that were right. */
  readonly settledShare: number
  readonly settled: Readonly<Record<string, Answers>>
  readonly account: Pick<Account, 'submitted' | 'acknowledged' | 'succeeded' | 'duplicates' | 'lost'>
  readonly troubles: readonly string[]
}

export interface StrikePlace {
  readonly session: Session
  /** Where sources lie. */
  readonly sources: string
  /** A new folder a function may write into. */
  readonly writable: (name: string) => string
  readonly say: (line: string) => void
}

const FIXTURE = join(ROOT, 'test/fixtures/functions/journal.ts')
const LEAD_MS = 5_000
const SETTLED_MS = 10_000
const SETTLED_SHARE = 0.99
const LOOK_MS = 200
/** Whether its time or its memory ends first is the machine's to say. */
const EITHER_WAY = ['out of memory']

/** Rejects only when it cannot be begun. `number` tells its function from that of other strikes on the same platform. */
export async function strikeUnderLoad(place: StrikePlace, strike: Strike, number: number): Promise<StrikeReport> {
  const { session, sources, say } = place
  const { platform, tallies, rights } = session
  const name = `journal-${number}`
  await platform.deploy(
    FIXTURE,
    '--name',
    name,
    '--volume',
    `${place.writable(name)}:/journal:rw`,
    '--concurrency',
    '4',
  )
  const before = await untilAllWorks(platform, sources)
  const doctorBefore = await platform.fn('doctor')
  const accounted = new Accounted(platform, name, number)
  await sleep(LEAD_MS)

  say(`${strike.name}: begins, for ${strike.ms / 1000} s`)
  const talliesBefore = copyOf(tallies)
  const startedMs = performance.now()
  const fromMs = Date.now()
  const looks = new Looks(platform)
  const middle = sleep(strike.ms / 2).then(async () => {
    const [doctor, deploy] = await Promise.all([platform.fn('doctor'), deployNew(platform, sources)])
    return { doctor: `${doctor.stdout}\n${doctor.stderr}`, deploy: deploy ?? 'worked' }
  })
  const troubles: string[] = []
  await strike.run().catch((error: Error) => troubles.push(error.message))
  const seconds = (performance.now() - startedMs) / 1000
  const after = await untilAllWorks(platform, sources).catch((error: Error) => {
    troubles.push(error.message)
    return null
  })
  const untilMs = Date.now()
  const { doctor, deploy } = await middle
  const seen = await looks.end()
  troubles.push(...missedWords(seen, strike.says))
  const talliesAfter = copyOf(tallies)
  say(`${strike.name}: ${after === null ? 'it did NOT come back' : `all works again: ${recoveryLine(after)}`}`)

  await sleep(SETTLED_MS)
  const settled = answersBetween(talliesAfter, copyOf(tallies), rights)
  const settledShare = rightShare(settled, rights, EITHER_WAY)
  if (settledShare < SETTLED_SHARE)
    troubles.push(`only ${(settledShare * 100).toFixed(1)} % of the answers after it are right`)
  const fault = { kind: strike.name, fromMs, untilMs, endsAttempts: strike.endsAttempts }
  const counted = await accounted.end([fault]).catch((error: Error) => {
    troubles.push(`no account: ${error.message}`)
    return null
  })
  if (counted !== null) troubles.push(...accounted.odd, ...sentencesOf(counted))
  return {
    name: strike.name,
    seconds: Math.round(seconds * 10) / 10,
    answers: answersBetween(talliesBefore, talliesAfter, rights),
    readiness: readinessLines(seen, startedMs),
    doctor: newLines(`${doctorBefore.stdout}\n${doctorBefore.stderr}`, doctor),
    deploy,
    before,
    after,
    settledShare,
    settled,
    account: counted ?? { submitted: 0, acknowledged: 0, succeeded: 0, duplicates: 0, lost: ['no account'] },
    troubles,
  }
}

function sentencesOf(counted: Account): string[] {
  if (isClean(counted)) return []
  const { lost, unexpected, unexplained, wrong } = counted
  return Object.entries({ lost, unexpected, unexplained, wrong }).flatMap(([what, sentences]) =>
    sentences.slice(0, 10).map((sentence) => `${what}: ${sentence}`),
  )
}

/** Asks `/readyz` again and again. */
class Looks {
  readonly #looks: Look[] = []
  readonly #stop = new AbortController()
  readonly #looking: Promise<void>

  constructor(platform: Platform) {
    this.#looking = this.#look(platform)
  }

  async end(): Promise<readonly Look[]> {
    this.#stop.abort()
    await this.#looking
    return this.#looks
  }

  async #look(platform: Platform): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const atMs = performance.now()
      const seen = await platform.request('/readyz', { signal: AbortSignal.timeout(2_000) }).then(
        async (response) => ({ status: response.status, body: (await response.json()) as { reason?: string } }),
        (error: Error) => ({ status: 0, body: { reason: error.message } }),
      )
      this.#looks.push({ atMs, status: seen.status, reason: seen.body.reason ?? '' })
      await sleep(LOOK_MS, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }
}
