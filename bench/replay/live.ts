// Drives a running platform with a trace: each minute of it takes 60 s ÷ speed, a function is called once in each minute in
// which the trace calls it. Deploys what it calls unless told what to call; what it deployed it removes, also when it is interrupted.
import { setTimeout as delay } from 'node:timers/promises'
import { run as runCommand } from '../../runtime/host/spawn.ts'
import { ROOT } from '../../test/support/platform.ts'
import { DEFAULT_PRICE } from '../../worker/pool/policy/retention.ts'
import { hazardsOf, learned, simulate } from './simulate.ts'
import { MEASURED_TIERS } from './tiers.ts'
import type { Trace, TracedFunction } from './trace.ts'

/** How to drive it. */
export interface LiveOptions {
  readonly url: string
  readonly speed: number
  /** At most so many functions of the trace. */
  readonly functions: number
  readonly minutes: number
  /** Deployed functions to call, the first with the trace's first pick; empty: deploys some. */
  readonly names: readonly string[]
  /** Once aborted no more calls are made; those under way are awaited, and what was deployed is removed. */
  readonly signal: AbortSignal
}

/** What `Fn-Start` of the answers said, beside what the simulation makes of the same calls. */
export interface LiveOutcome {
  /** One for each minute of the trace in which a function is called. */
  readonly calls: number
  /** Answers that were no 2xx, or none at all. */
  readonly failed: number
  readonly starts: Readonly<Record<string, number>>
  /** Calls that began without a sandbox of the function, of all. */
  readonly coldPercent: number
  /** The same by the pool's policy, simulated in the minutes of the clock on the wall. */
  readonly simulatedColdPercent: number
  /** Minutes of the trace that were played. */
  readonly minutes: number
}

/** The platform could not be driven; the message is for the user. */
export class LiveError extends Error {
  override readonly name = 'LiveError'
}

const STARTS_WITHOUT_SANDBOX = ['cold', 'stem']
const PROGRESS_EVERY = 60

/** Plays the trace's minutes in real time. `say` is told how it goes. Throws LiveError when the platform is not there or does
 *  not take a function; what was deployed by then is removed. */
export async function runLive(trace: Trace, options: LiveOptions, say: (line: string) => void): Promise<LiveOutcome> {
  const { url, signal } = options
  const picked = pickFunctions(trace, options.names.length > 0 ? options.names.length : options.functions)
  await expectPlatform(url)
  const deployed: string[] = []
  try {
    for (let index = 0; options.names.length === 0 && index < picked.length && !signal.aborted; index++) {
      const name = `replay-${process.pid}-${index}`
      deployed.push(name)
      await fn(url, ['deploy', `${ROOT}/functions/hello.ts`, '--name', name])
      await killSandboxes(url, name)
    }
    if (deployed.length > 0) say(`deployed ${deployed.length} functions`)
    return await play(trace, picked, options.names.length > 0 ? options.names : deployed, options, say)
  } finally {
    for (const name of deployed) await fn(url, ['rm', name]).catch((error: Error) => say(error.message))
    if (deployed.length > 0) say(`removed ${deployed.length} functions`)
  }
}

async function play(
  trace: Trace,
  picked: readonly TracedFunction[],
  names: readonly string[],
  { url, speed, minutes: most, signal }: LiveOptions,
  say: (line: string) => void,
): Promise<LiveOutcome> {
  const minutes = Math.min(trace.minutes, most)
  const minuteMs = 60_000 / speed
  const starts: Record<string, number> = {}
  const running = new Set<Promise<void>>()
  let failed = 0
  let calls = 0
  let minute = 0
  const startMs = performance.now()
  for (; minute < minutes && !signal.aborted; minute++) {
    for (const [index, one] of picked.entries()) {
      if (one.calls[minute] === 0) continue
      calls++
      const call = callOnce(url, names[index]!).then((start) => {
        if (start === null) failed++
        else starts[start] = (starts[start] ?? 0) + 1
      })
      running.add(call)
      void call.finally(() => running.delete(call))
    }
    if ((minute + 1) % PROGRESS_EVERY === 0) say(`minute ${minute + 1} of ${minutes}, ${calls} calls`)
    const leftMs = startMs + (minute + 1) * minuteMs - performance.now()
    if (leftMs > 0) await delay(leftMs, undefined, { signal }).catch(() => undefined)
  }
  await Promise.all(running)
  if (signal.aborted) say(`stopped in minute ${minute} of ${minutes}`)
  const cold = STARTS_WITHOUT_SANDBOX.reduce((sum, kind) => sum + (starts[kind] ?? 0), 0)
  const percent = (count: number) => (calls === 0 ? 0 : Number(((100 * count) / calls).toFixed(3)))
  const simulated = coldStartsOf(onTheWall(picked, minute, speed))
  return {
    calls,
    failed,
    starts,
    coldPercent: percent(cold),
    simulatedColdPercent: percent(simulated),
    minutes: minute,
  }
}

/** The calls in minutes of the clock on the wall, by which the pool learns: so many of the trace's as it was sped up. */
export function onTheWall(picked: readonly TracedFunction[], played: number, speed: number): Trace {
  const minutes = Math.ceil(played / speed)
  const functions = picked.map((one) => {
    const calls = new Uint32Array(minutes)
    for (let minute = 0; minute < played; minute++) calls[Math.floor(minute / speed)]! += one.calls[minute]!
    return { ...one, calls }
  })
  return { functions, minutes, notes: [] }
}

/** Cold starts at the pool's own price, the first of each function included. */
function coldStartsOf(trace: Trace): number {
  return simulate(trace, MEASURED_TIERS, learned(hazardsOf(trace), DEFAULT_PRICE)).coldMinutes
}

/** Functions spread evenly over the trace, ordered by how many minutes have calls. */
export function pickFunctions(trace: Trace, count: number): TracedFunction[] {
  const active = (one: TracedFunction): number => one.calls.reduce((sum, calls) => sum + (calls > 0 ? 1 : 0), 0)
  const ordered = trace.functions.map((one) => ({ one, active: active(one) })).sort((a, b) => a.active - b.active)
  const wanted = Math.min(count, ordered.length)
  return Array.from(
    { length: wanted },
    (_, index) => ordered[Math.floor(((index + 0.5) * ordered.length) / wanted)]!.one,
  )
}

async function callOnce(url: string, name: string): Promise<string | null> {
  try {
    const response = await fetch(`${url}/fn/${name}/`, { signal: AbortSignal.timeout(60_000) })
    await response.arrayBuffer()
    return response.ok ? response.headers.get('fn-start') : null
  } catch {
    return null
  }
}

async function expectPlatform(url: string): Promise<void> {
  try {
    const response = await fetch(`${url}/readyz`)
    if (response.ok) return
    throw new Error(`/readyz answers ${response.status}`)
  } catch (error) {
    const why = (error as Error).message
    throw new LiveError(
      `${url}: expected a running platform, got: ${why}\n→ start one with fn up, or say where it is with FN_URL`,
    )
  }
}

/** A deploy leaves the sandbox it was tried in: the first call is to find none. */
async function killSandboxes(url: string, name: string): Promise<void> {
  const rows = JSON.parse(await fn(url, ['ps', '--json'])) as { id: string; function: string }[]
  for (const row of rows) if (row.function === name) await fn(url, ['kill', row.id]).catch(() => undefined)
}

async function fn(url: string, args: readonly string[]): Promise<string> {
  const done = await runCommand(`${ROOT}/bin/fn`, [...args, '--url', url], { env: environment() })
  if (done.code !== 0) throw new LiveError(`fn ${args.join(' ')}: ${done.stderr.trim()}`)
  return done.stdout
}

/** The CLI finds the platform's token by it. */
function environment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}
