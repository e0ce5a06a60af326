// Drives a running platform with a trace: each minute of it takes 60 s ÷ speed, a function is called once in each minute in
// which the trace calls it. Deploys what it calls unless told what to call; what it deployed it removes. Simulates nothing.
import { run as runCommand } from '../../runtime/host/spawn.ts'
import { ROOT } from '../../test/support/platform.ts'
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
}

/** What `Fn-Start` of the answers said. */
export interface LiveOutcome {
  readonly calls: number
  readonly activeMinutes: number
  /** Answers that were no 2xx, or none at all. */
  readonly failed: number
  readonly starts: Readonly<Record<string, number>>
  /** Of the minutes with calls, those that began without a sandbox of the function. */
  readonly coldPercent: number
}

/** The platform could not be driven; the message is for the user. */
export class LiveError extends Error {
  override readonly name = 'LiveError'
}

const STARTS_WITHOUT_SANDBOX = ['cold', 'stem']
const PROGRESS_EVERY = 60

/** Plays the trace's minutes in real time. `say` is told how it goes. Throws LiveError when the platform is not there or does
 *  not take a function. */
export async function runLive(trace: Trace, options: LiveOptions, say: (line: string) => void): Promise<LiveOutcome> {
  const picked = pickFunctions(trace, options.names.length > 0 ? options.names.length : options.functions)
  await expectPlatform(options.url)
  const names = options.names.length > 0 ? options.names : picked.map((_, index) => `replay-${process.pid}-${index}`)
  const deployed: string[] = []
  const starts: Record<string, number> = {}
  let failed = 0
  let calls = 0
  try {
    if (options.names.length === 0) {
      for (const name of names.slice(0, picked.length)) {
        await fn(options.url, ['deploy', `${ROOT}/functions/hello.ts`, '--name', name])
        deployed.push(name)
      }
      say(`deployed ${deployed.length} functions`)
    }
    const minutes = Math.min(trace.minutes, options.minutes)
    const minuteMs = 60_000 / options.speed
    const startMs = performance.now()
    const running = new Set<Promise<void>>()
    for (let minute = 0; minute < minutes; minute++) {
      for (const [index, one] of picked.entries()) {
        if (one.calls[minute] === 0) continue
        calls++
        const call = callOnce(options.url, names[index]!).then((start) => {
          if (start === null) failed++
          else starts[start] = (starts[start] ?? 0) + 1
        })
        running.add(call)
        void call.finally(() => running.delete(call))
      }
      if ((minute + 1) % PROGRESS_EVERY === 0) say(`minute ${minute + 1} of ${minutes}, ${calls} calls`)
      const leftMs = startMs + (minute + 1) * minuteMs - performance.now()
      if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs))
    }
    await Promise.all(running)
  } finally {
    for (const name of deployed) await fn(options.url, ['rm', name]).catch((error) => say(String(error)))
  }
  const cold = STARTS_WITHOUT_SANDBOX.reduce((sum, kind) => sum + (starts[kind] ?? 0), 0)
  const coldPercent = calls === 0 ? 0 : Number(((100 * cold) / calls).toFixed(3))
  return { calls, activeMinutes: calls, failed, starts, coldPercent }
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

async function fn(url: string, args: readonly string[]): Promise<void> {
  const done = await runCommand(`${ROOT}/bin/fn`, [...args, '--url', url], { env: environment() })
  if (done.code !== 0) throw new LiveError(`fn ${args.join(' ')}: ${done.stderr.trim()}`)
}

/** The CLI finds the platform's token by it. */
function environment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}
