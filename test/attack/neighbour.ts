// A neighbour in a namespace of its own while an attack runs: a warm function, and one whose every call needs a sandbox made from
// nothing. Calls both at a bounded rate and says how they fared, and how long the platform's loop stood by its own counter.

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { SandboxInfo } from '../../worker/api.ts'
import { type Platform, ROOT } from '../support/platform.ts'
import { timeScale } from '../support/time-scale.ts'

export interface NeighbourReport {
  /** Calls of the warm function that were answered as they should be. */
  readonly calls: number
  /** What the others got, one text a call. */
  readonly errors: readonly string[]
  /** Calls that were answered by a sandbox made for them. */
  readonly coldStarts: number
  readonly coldErrors: readonly string[]
  /** The longest that the platform's event loop stood meanwhile, by its own counter; at most 20 ms too long. */
  readonly loopStandMs: number
}

export interface Neighbour {
  /** Runs `attack`, calling both functions from just before it until its end, each at least once after its begin. */
  during<T>(attack: () => Promise<T>): Promise<NeighbourReport & { readonly attack: T }>
}

export interface NeighbourOptions {
  /** Default `neighbours`. */
  readonly namespace?: string
  /** Milliseconds from one call to the next; default 50 and 700. */
  readonly warmEveryMs?: number
  readonly coldEveryMs?: number
}

const HANDLER = join(ROOT, 'functions', 'hello.ts')
/** A neighbour waits no longer than a person would. */
const CALL_DEADLINE_MS = 10_000 * timeScale
/** Not what stems are made with, so that none can be used: each sandbox is made from nothing. */
const COLD_TMPFS = '9m'

/** Deploys both and calls each once. The platform must not know the namespace yet. */
export async function settleNeighbour(platform: Platform, options: NeighbourOptions = {}): Promise<Neighbour> {
  const { namespace = 'neighbours', warmEveryMs = 50, coldEveryMs = 700 } = options
  const within = ['--namespace', namespace]
  for (const flags of [
    ['--name', 'warm', '--min-warm', '1'],
    ['--name', 'cold', '--tmpfs', COLD_TMPFS],
  ]) {
    const deployed = await platform.fn(...within, 'deploy', HANDLER, ...flags)
    if (deployed.code !== 0) throw new Error(`fn deploy ${flags.join(' ')}: exit ${deployed.code}\n${deployed.stderr}`)
  }
  const headers = { 'fn-namespace': namespace }
  const warm = () => callOnce(platform, 'warm', headers, null)
  const cold = async () => {
    await killSandboxes(platform, 'cold', headers)
    return await callOnce(platform, 'cold', headers, 'cold')
  }
  for (const call of [warm, cold]) {
    const error = await call()
    if (error !== null) throw new Error(`the neighbour is not served before any attack: ${error}`)
  }
  return {
    async during(attack) {
      await takeStandMs(platform)
      let over = false
      const isOver = () => over
      const callers = [callUntil(warm, warmEveryMs, isOver), callUntil(cold, coldEveryMs, isOver)]
      let result: Awaited<ReturnType<typeof attack>>
      try {
        result = await attack()
      } finally {
        over = true
        await Promise.all(callers)
      }
      const [warmCalls, coldCalls] = await Promise.all(callers)
      const loopStandMs = await takeStandMs(platform)
      return {
        calls: warmCalls!.good,
        errors: warmCalls!.errors,
        coldStarts: coldCalls!.good,
        coldErrors: coldCalls!.errors,
        loopStandMs,
        attack: result,
      }
    },
  }
}

interface Fared {
  good: number
  readonly errors: string[]
}

/** One call after the other; the last begins when all is over, so that what an attack leaves behind is met, too. */
async function callUntil(call: () => Promise<string | null>, everyMs: number, isOver: () => boolean): Promise<Fared> {
  const fared: Fared = { good: 0, errors: [] }
  for (let last = false; ; ) {
    const begin = performance.now()
    const error = await call()
    if (error === null) fared.good++
    else fared.errors.push(error)
    if (last) return fared
    last = isOver()
    if (!last) await delay(Math.max(0, everyMs - (performance.now() - begin)))
  }
}

/** Null: answered, by a sandbox of the start kind asked for. */
async function callOnce(
  platform: Platform,
  name: string,
  headers: Record<string, string>,
  start: string | null,
): Promise<string | null> {
  try {
    const response = await platform.request(`/fn/${name}`, { headers, signal: AbortSignal.timeout(CALL_DEADLINE_MS) })
    const text = await response.text()
    if (response.status !== 200) return `${name}: ${response.status} ${text.slice(0, 300)}`
    const started = response.headers.get('fn-start')
    return start === null || started === start ? null : `${name}: start ${started}, expected ${start}`
  } catch (error) {
    return `${name}: ${(error as Error).name}: ${(error as Error).message} ${(error as Error).cause ?? ''}`
  }
}

async function killSandboxes(platform: Platform, name: string, headers: Record<string, string>): Promise<void> {
  const rows = await platform.json<SandboxInfo[]>('/v1/sandboxes', { headers }).catch(() => [])
  for (const { id } of rows.filter((row) => row.function === name))
    await platform.request(`/v1/sandboxes/${id}/kill`, { method: 'POST', headers }).catch(() => {})
}

/** How long the loop stood at most since this was asked last, ms, by `/metrics`. Throws an Error where it is missing. */
async function takeStandMs(platform: Platform): Promise<number> {
  const text = await (await platform.request('/metrics')).text()
  const seconds = /^thaw_event_loop_stand_max_seconds (\S+)$/m.exec(text)?.[1]
  if (seconds === undefined) throw new Error('/metrics does not say how long the event loop stood')
  return Number(seconds) * 1000
}
