// A platform under the mixed load, from the deploys to the last accepted call: streams, functions that come and go, and what came
// of all of it. It samples nothing and strikes nothing.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Platform, ROOT } from '../support/platform.ts'
import { sentenceOf } from './answers.ts'
import { drive, type Stream, type Tally, tallyOf } from './load.ts'

const DEPLOY_MS = 20_000
const TURNOVER = 12
const TURNS = 'deploys and deletes'
const COME_BACK_MS = 120_000

export class Session {
  readonly platform: Platform
  readonly tallies = new Map<string, Tally>()
  /** By stream: what the right answer is called. */
  readonly rights: ReadonlyMap<string, string>
  readonly #streams: readonly Stream[]
  readonly #sources: string
  readonly #stop = new AbortController()
  #work: Promise<unknown> = Promise.resolve()

  /** `sources`: a folder for the functions that come and go. */
  constructor(platform: Platform, streams: readonly Stream[], sources: string) {
    this.platform = platform
    this.#streams = streams
    this.#sources = sources
    this.rights = new Map([...streams.map(({ name, expects }) => [name, `${expects[0]}`] as const), [TURNS, 'done']])
  }

  async deployAll(): Promise<void> {
    const soak = join(ROOT, 'test/fixtures/functions/soak.ts')
    await this.platform.deploy(join(ROOT, 'functions/hello.ts'))
    await this.platform.deploy(join(ROOT, 'functions/echo.ts'))
    await this.platform.deploy(soak, '--timeout', '2s', '--memory', '96m')
    // A log of its own, so that its files are written over and over.
    await this.platform.deploy(soak, '--name', 'talker')
  }

  /** The load goes on until `end`. */
  begin(): void {
    const driven = drive(this.platform, this.#streams, this.tallies, this.#stop.signal)
    this.#work = Promise.all([driven, this.#turnOver()])
  }

  /** No more is sent. Resolves, when all that was accepted is over, to how long that took, ms. Idempotent. */
  async end(): Promise<number> {
    await this.abandon()
    return await msUntil('the last accepted call is over', async () => {
      const states = ['queued', 'running'].map((state) => `/v1/invocations?state=${state}&limit=10`)
      const lists = await Promise.all(states.map((path) => this.platform.json<unknown[]>(path)))
      return lists.flat().length === 0
    })
  }

  /** No more is sent, whatever becomes of what was accepted. */
  async abandon(): Promise<void> {
    this.#stop.abort()
    await this.#work
  }

  /** A dozen names in turn: deployed with new code, called, and the one before last removed. */
  async #turnOver(): Promise<void> {
    const deploys = tallyOf(this.tallies, TURNS)
    for (let turn = 0; !this.#stop.signal.aborted; turn++) {
      deploys.sent++
      const trouble = await this.#turn(turn).catch((error: Error) => sentenceOf(error.message, this.#sources))
      if (trouble === null) deploys.expected++
      else deploys.others[trouble] = (deploys.others[trouble] ?? 0) + 1
      await sleep(DEPLOY_MS, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }

  async #turn(turn: number): Promise<string | null> {
    const name = `turn-${turn % TURNOVER}`
    const file = join(this.#sources, `${name}.ts`)
    writeFileSync(file, `export default () => new Response('turn ${turn}')\n`)
    await this.platform.deploy(file)
    const response = await this.platform.request(`/fn/${name}`)
    const text = await response.text()
    if (text !== `turn ${turn}`) return `${name} answered ${response.status} ${text.slice(0, 80)}`
    if (turn < 2) return null
    const removed = await this.platform.request(`/v1/functions/turn-${(turn - 2) % TURNOVER}`, { method: 'DELETE' })
    return removed.ok || removed.status === 404
      ? null
      : `DELETE: ${removed.status} ${(await removed.text()).slice(0, 120)}`
  }
}

/** How long it took until it was so. Throws after two minutes; an answer that fails is one that is not so yet. */
export async function msUntil(what: string, isSo: () => Promise<boolean | string>): Promise<number> {
  const fromMs = performance.now()
  for (;;) {
    const seen = await isSo().catch((error: Error) => error.message)
    if (seen === true) return Math.round(performance.now() - fromMs)
    if (performance.now() - fromMs > COME_BACK_MS)
      throw new Error(`waited two minutes until ${what}${seen === false ? '' : `; last seen: ${seen}`}`)
    await sleep(50)
  }
}
