// `npm run soak [-- --minutes 60 --scale 1 --out FOLDER]`: a platform of its own under mixed load, sampled every 10 s; then Redis
// stopped for a minute, and the end. By hand: docs/soak.md has the last figures. Exits 1 when something grows or stays broken.
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { drive, streamsOf, type Tally, tallyOf } from './load.ts'
import { growthLines, renderSoak, type Soak, tallyLines } from './page.ts'
import { type Sample, sample } from './samples.ts'
import { growthsOf } from './slopes.ts'

const SAMPLE_MS = 10_000
const DEPLOY_MS = 20_000
const TURNOVER = 12
const OUTAGE_MS = 60_000
/** Looks that find no platform: it is dead, and what was seen so far is told. */
const MOST_MISSING = 6
const USAGE = `usage: npm run soak -- [--minutes 60] [--scale 1] [--outage-seconds 60] [--out bench/results]
  --scale   1 is about half of what two cores can do`

class SoakRun {
  readonly samples: Sample[] = []
  readonly tallies = new Map<string, Tally>()
  readonly events: string[] = []
  readonly #platform: Platform
  readonly #startedMs = performance.now()
  readonly #stop = new AbortController()
  readonly #lost = new AbortController()

  constructor(platform: Platform) {
    this.#platform = platform
  }

  async run(minutes: number, scale: number, outageMs: number): Promise<void> {
    await this.#deployAll()
    const work = [
      drive(this.#platform, streamsOf(scale), this.tallies, this.#stop.signal),
      this.#watch(),
      this.#turnOver(),
    ]
    await sleep(minutes * 60_000, undefined, { signal: this.#lost.signal }).catch(() => {})
    if (this.#lost.signal.aborted) {
      this.#stop.abort()
      throw new Error(`the platform is gone; it printed last:\n${this.#platform.output().slice(-2000)}`)
    }
    if (outageMs > 0) await this.#withoutRedis(outageMs)
    this.#stop.abort()
    await Promise.all(work)
    await this.#drain()
  }

  say(line: string): void {
    const at = `${Math.round((performance.now() - this.#startedMs) / 1000)} s: ${line}`
    this.events.push(at)
    process.stderr.write(`${at}\n`)
  }

  async #deployAll(): Promise<void> {
    const fixtures = join(ROOT, 'test/fixtures/functions')
    await this.#platform.deploy(join(ROOT, 'functions/hello.ts'))
    await this.#platform.deploy(join(ROOT, 'functions/echo.ts'))
    await this.#platform.deploy(join(fixtures, 'soak.ts'), '--timeout', '2s', '--memory', '96m')
  }

  async #watch(): Promise<void> {
    let missing = 0
    for (let turn = 0; !this.#stop.signal.aborted; turn++) {
      const one = await sample(this.#platform, this.#startedMs).catch((error: Error) => error)
      if (one instanceof Error) this.say(`no sample: ${one.message}`)
      else this.samples.push(one)
      missing = one instanceof Error ? missing + 1 : 0
      if (missing === MOST_MISSING) this.#lost.abort()
      if (turn % 30 === 29) process.stderr.write(`${growthLines(growthsOf(this.samples)).join('\n')}\n`)
      await sleep(SAMPLE_MS, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }

  /** A dozen names in turn: deployed with new code, called, and the one before last removed. */
  async #turnOver(): Promise<void> {
    const folder = join(this.#platform.stateDir, '..', `soak-${this.#platform.id}`)
    mkdirSync(folder, { recursive: true })
    const deploys = tallyOf(this.tallies, 'deploys and deletes')
    for (let turn = 0; !this.#stop.signal.aborted; turn++) {
      const name = `turn-${turn % TURNOVER}`
      writeFileSync(join(folder, `${name}.ts`), `export default () => new Response('turn ${turn}')\n`)
      deploys.sent++
      const trouble = await this.#turn(folder, name, turn).catch((error: Error) =>
        error.message.replaceAll(`${folder}/`, '').slice(0, 200),
      )
      if (trouble === null) deploys.expected++
      else deploys.others[trouble] = (deploys.others[trouble] ?? 0) + 1
      await sleep(DEPLOY_MS, undefined, { signal: this.#stop.signal }).catch(() => {})
    }
  }

  async #turn(folder: string, name: string, turn: number): Promise<string | null> {
    await this.#platform.deploy(join(folder, `${name}.ts`))
    const response = await this.#platform.request(`/fn/${name}`)
    const text = await response.text()
    if (text !== `turn ${turn}`) return `${name} answered ${response.status} ${text.slice(0, 80)}`
    if (turn < 2) return null
    const removed = await this.#platform.request(`/v1/functions/turn-${(turn - 2) % TURNOVER}`, { method: 'DELETE' })
    return removed.ok ? null : `DELETE: ${removed.status} ${(await removed.text()).slice(0, 120)}`
  }

  /** Redis answers nobody for a while: synchronous calls go on, asynchronous ones are refused, and all of it comes back. */
  async #withoutRedis(ms: number): Promise<void> {
    const socket = `/run/thaw/${this.#platform.id}/redis.sock`
    const info = execFileSync('redis-cli', ['-s', socket, 'info', 'server'], { encoding: 'utf8' })
    const pid = Number(/^process_id:(\d+)/m.exec(info)?.[1])
    this.say(`Redis is stopped for ${ms / 1000} s`)
    process.kill(pid, 'SIGSTOP')
    await sleep(ms / 2)
    const sync = await this.#platform.request('/fn/hello')
    const ready = await this.#platform.request('/readyz')
    this.say(`meanwhile: a synchronous call ${sync.status}, /readyz ${ready.status}`)
    await sleep(ms / 2)
    try {
      process.kill(pid, 'SIGCONT')
    } catch {
      this.say('it had been replaced by another')
    }
    const backMs = await this.#until(async () => (await this.#platform.request('/readyz')).status === 200)
    this.say(`/readyz 200 again after ${backMs} ms`)
  }

  /** All that was accepted ends. */
  async #drain(): Promise<void> {
    const open = async () => {
      const states = ['queued', 'running'].map((state) => `/v1/invocations?state=${state}&limit=10`)
      const lists = await Promise.all(states.map((path) => this.#platform.json<unknown[]>(path)))
      return lists.flat().length === 0
    }
    const ms = await this.#until(open)
    this.say(`the last accepted call was over ${ms} ms after the last was sent`)
  }

  async #until(isSo: () => Promise<boolean>): Promise<number> {
    const fromMs = performance.now()
    while (!(await isSo().catch(() => false))) {
      if (performance.now() - fromMs > 120_000) throw new Error('it did not come back within two minutes')
      await sleep(100)
    }
    return Math.round(performance.now() - fromMs)
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      ...{ minutes: { type: 'string', default: '60' }, scale: { type: 'string', default: '1' } },
      ...{ 'outage-seconds': { type: 'string', default: String(OUTAGE_MS / 1000) }, help: { type: 'boolean' } },
      out: { type: 'string', default: join(ROOT, 'bench/results') },
    },
  })
  if (values.help) {
    process.stdout.write(`${USAGE}\n`)
    return 0
  }
  const [minutes, scale, outageS] = [values.minutes, values.scale, values['outage-seconds']].map(Number) as [
    number,
    number,
    number,
  ]
  if (!(minutes > 0 && scale > 0 && outageS >= 0)) {
    process.stderr.write(`soak: expected positive numbers\n${USAGE}\n`)
    return 2
  }
  const startedAt = new Date().toISOString()
  // Results are kept for so short a time that their end is seen.
  const platform = await startPlatform({ env: { FN_RESULT_TTL: '5m' } })
  const run = new SoakRun(platform)
  let trouble: string | null = null
  try {
    await run.run(minutes, scale, outageS * 1000)
  } catch (error) {
    trouble = (error as Error).message
    run.say(trouble)
  }
  await platform.stop().then(
    () => run.say('stopped, and nothing is left over'),
    (error: Error) => {
      trouble ??= error.message
      run.say(error.message)
    },
  )
  const growths = growthsOf(run.samples)
  const { samples, events } = run
  const soak: Soak = { startedAt, minutes, scale, samples, growths, tallies: Object.fromEntries(run.tallies), events }
  const name = join(resolve(values.out), `soak-${startedAt.slice(0, 16).replace(':', '')}Z`)
  writeFileSync(`${name}.json`, `${JSON.stringify(soak)}\n`)
  writeFileSync(`${name}.html`, renderSoak(soak))
  process.stdout.write(
    `${[...growthLines(growths), '', ...tallyLines(soak.tallies)].join('\n')}\nwritten to ${name}.html\n`,
  )
  return trouble === null && growths.every((growth) => !growth.grows) ? 0 : 1
}

process.exitCode = await main()
