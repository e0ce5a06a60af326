// Starts of sandboxes: each sample kills the function's sandbox, waits until it is gone, and times the next call from outside.
// A start kind counts by what `Fn-Start` says, not by what was hoped for.
import type { Platform } from '../test/support/platform.ts'
import { until } from '../test/support/until.ts'
import { type Latency, latencyOf } from './latency.ts'
import type { FunctionName } from './subjects.ts'

export interface Starts {
  /** Latency of the whole call, ms, by start kind. */
  readonly calls: Readonly<Record<string, Latency>>
}

interface SandboxRow {
  readonly id: string
  readonly function: string
  readonly state: string
}

/** Times `samples` first calls of a function that nobody serves yet. */
export async function runStarts(platform: Platform, name: FunctionName, samples: number): Promise<Starts> {
  const taken = new Map<string, number[]>()
  for (let n = 0; n < samples; n++) {
    await killAll(platform, name)
    await settled(platform)
    const begun = performance.now()
    const response = await platform.request(`/fn/${name}`)
    const body = await response.text()
    const took = performance.now() - begun
    if (response.status !== 200) throw new Error(`/fn/${name}: ${response.status} ${body}`)
    const kind = response.headers.get('fn-start') ?? 'unknown'
    taken.set(kind, [...(taken.get(kind) ?? []), took])
  }
  return { calls: Object.fromEntries([...taken].map(([kind, times]) => [kind, latencyOf(times)])) }
}

/** How long freezes took to be confirmed, µs, from the records of a function whose calls were thawed. */
export async function freezeTimes(platform: Platform, name: FunctionName): Promise<readonly number[]> {
  const records = await platform.json<{ start: string; metering: { freezeUs: number } | null }[]>(
    `/v1/invocations?function=${name}&limit=200`,
  )
  return records.filter((record) => record.start === 'thawed').flatMap((record) => record.metering?.freezeUs ?? [])
}

async function killAll(platform: Platform, name: string): Promise<void> {
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
async function settled(platform: Platform): Promise<void> {
  await until('no sandbox is starting', async () => {
    const busy = (await list(platform)).filter((row) => row.state === 'starting' || row.state === 'loading')
    return busy.length === 0 || `${busy.length} starting`
  })
}

function list(platform: Platform): Promise<SandboxRow[]> {
  return platform.json<SandboxRow[]>('/v1/sandboxes')
}
