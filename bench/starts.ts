// Starts of sandboxes: each sample kills the function's sandbox, waits until it is gone, and times the next call from outside.
// A start kind counts by what `Fn-Start` says, not by what was hoped for.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Platform } from '../test/support/platform.ts'
import { until } from '../test/support/until.ts'
import { type Curve, curveOf, type Latency, latencyOf, median } from './latency.ts'
import type { FunctionName } from './subjects.ts'

export interface Starts {
  /** Latency of the whole call, ms, by start kind. */
  readonly calls: Readonly<Record<string, Latency>>
  readonly curves: Readonly<Record<string, Curve>>
  /** Medians of the phases of the calls' records, by start kind. */
  readonly phases: Readonly<Record<string, Phases>>
}

/** ms, as the record of a call has them; `rest` is what the caller saw beyond: HTTP, both ways. */
export interface Phases {
  readonly queue: number
  readonly start: number
  readonly thaw: number
  readonly init: number
  readonly run: number
  readonly rest: number
}

const STEM_WAIT_MS = 2000

interface Sample {
  readonly kind: string
  readonly tookMs: number
  readonly phases: Phases
}

interface SandboxRow {
  readonly id: string
  readonly function: string
  readonly state: string
}

/** Times `samples` first calls of a function that nobody serves yet. */
export async function runStarts(platform: Platform, name: FunctionName, samples: number): Promise<Starts> {
  // No stem fits the one that always starts cold.
  const stems = name !== 'cold'
  const taken: Sample[] = []
  for (let n = 0; n < samples; n++) {
    await killAll(platform, name)
    await settled(platform)
    if (stems) await stemReady(platform)
    taken.push(await firstCall(platform, name))
  }
  const kinds = [...new Set(taken.map((sample) => sample.kind))]
  const times = (kind: string) => taken.filter((sample) => sample.kind === kind).map((sample) => sample.tookMs)
  return {
    calls: Object.fromEntries(kinds.map((kind) => [kind, latencyOf(times(kind))])),
    curves: Object.fromEntries(kinds.map((kind) => [kind, curveOf(times(kind))])),
    phases: Object.fromEntries(
      kinds.map((kind) => [kind, medianPhases(taken.filter((sample) => sample.kind === kind))]),
    ),
  }
}

/** Has one sandbox of the function run a call and rest until V8's code cache of its bundle is kept: starts are measured as they
 *  are from the second sandbox of a version on. */
export async function haveCodeCache(platform: Platform, name: FunctionName): Promise<void> {
  await firstCall(platform, name)
  const folder = join(platform.stateDir, 'code-cache')
  await until(`a code cache of ${name} is kept`, () => existsSync(folder) && readdirSync(folder).length > 0)
}

async function firstCall(platform: Platform, name: FunctionName): Promise<Sample> {
  const begun = performance.now()
  const response = await platform.request(`/fn/${name}`)
  const body = await response.text()
  const tookMs = performance.now() - begun
  if (response.status !== 200) throw new Error(`/fn/${name}: ${response.status} ${body}`)
  const record = await platform.json<Record<'queueMs' | 'startMs' | 'thawMs' | 'initMs' | 'runMs', number>>(
    `/v1/invocations/${response.headers.get('fn-invocation-id')}`,
  )
  const { queueMs: queue, startMs: start, thawMs: thaw, initMs: init, runMs: run } = record
  const rest = Math.max(0, tookMs - queue - start - thaw - init - run)
  const kind = response.headers.get('fn-start') ?? 'unknown'
  return { kind, tookMs, phases: { queue, start, thaw, init, run, rest } }
}

function medianPhases(samples: readonly Sample[]): Phases {
  const of = (phase: keyof Phases) => median(samples.map((sample) => sample.phases[phase])) ?? 0
  return {
    ...{ queue: of('queue'), start: of('start'), thaw: of('thaw') },
    ...{ init: of('init'), run: of('run'), rest: of('rest') },
  }
}

/** How long freezes took to be confirmed, µs, from the records of a function whose calls were thawed. */
export async function freezeTimes(platform: Platform, name: FunctionName): Promise<readonly number[]> {
  const records = await platform.json<{ start: string; metering: { freezeUs: number } | null }[]>(
    `/v1/invocations?function=${name}&limit=200`,
  )
  return records.filter((record) => record.start === 'thawed').flatMap((record) => record.metering?.freezeUs ?? [])
}

/** No sandbox of this function is left. */
export async function killAll(platform: Platform, name: string): Promise<void> {
  const mine = async () => (await list(platform)).filter((row) => row.function === name && row.state !== 'gone')
  for (const row of await mine()) {
    await platform.request(`/v1/sandboxes/${row.id}/kill`, { method: 'POST' })
  }
  await until(`no sandbox of ${name} is left`, async () => {
    const left = await mine()
    return left.length === 0 || left.map((row) => row.state).join(', ')
  })
}

/** No sandbox is being started, so that a stem, where there is one, is whole and nothing else takes the cores. */
export async function settled(platform: Platform): Promise<void> {
  await until('no sandbox is starting', async () => {
    const busy = (await list(platform)).filter((row) => row.state === 'starting' || row.state === 'loading')
    return busy.length === 0 || `${busy.length} starting`
  })
}

/** A stem sandbox stands ready, or none comes: the platform makes one only once it has been quiet for a while. */
async function stemReady(platform: Platform): Promise<void> {
  const deadline = performance.now() + STEM_WAIT_MS
  while (performance.now() < deadline) {
    const metrics = await (await platform.request('/metrics')).text()
    if (/^thaw_sandboxes\{[^}]*state="stem"[^}]*\} [1-9]/m.test(metrics)) return
    await delay(20)
  }
}

function list(platform: Platform): Promise<SandboxRow[]> {
  return platform.json<SandboxRow[]>('/v1/sandboxes')
}
