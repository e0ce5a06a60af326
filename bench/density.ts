// How many frozen sandboxes fit, and what one costs: platforms of its own are filled with small functions, each of other content,
// and memory is read at counts on the way. Reclaimed memory goes to zram, whose own use is counted with it.
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { deployMany, manyAnswer, manyName } from '../test/support/deploy-many.ts'
import { type Platform, startPlatform } from '../test/support/platform.ts'
import { until } from '../test/support/until.ts'
import type { SandboxInfo } from '../worker/api.ts'
import { type Latency, latencyOf } from './latency.ts'

/** Memory with so many frozen sandboxes, bytes. */
export interface DensityPoint {
  readonly count: number
  /** Charged to the sandboxes' cgroups, all together. */
  readonly chargedBytes: number
  /** What zram uses for what it holds of them; 0 without zram. */
  readonly zramBytes: number
  /** What the whole machine has less available than before the platform started; others disturb it. */
  readonly machineBytes: number
}

export interface Density {
  /** Frozen and left alone. */
  readonly frozen: readonly DensityPoint[]
  /** Frozen and reclaimed; empty: see `absent`. */
  readonly reclaimed: readonly DensityPoint[]
  readonly absent: string | null
  readonly deployMs: number
  /** First calls of some of the reclaimed sandboxes: how many answered rightly, from which kind of start, how fast. */
  readonly asked: number
  readonly right: number
  readonly starts: Readonly<Record<string, number>>
  readonly firstCalls: Latency
}

export interface DensityOptions {
  readonly count: number
  /** How many without reclaim, on a platform before. */
  readonly frozenCount: number
  readonly onDeployed: (done: number) => void
}

const PARALLEL = 4
const ASKED = 20
const STEP_DEADLINE_MS = 60_000
/** Bytes of uncompressed memory that the swap may hold, for each function. */
const SWAP_PER_FUNCTION = 24 * 1024 ** 2
const SETTINGS = { freezeGrace: '10ms', keepAlive: '2h' }

export async function measureDensity(options: DensityOptions): Promise<Density> {
  const frozen = await fillFrozen(options.frozenCount)
  const before = availableBytes()
  const swap = `${Math.ceil((options.count * SWAP_PER_FUNCTION) / 1024 ** 2)}m`
  let platform: Platform
  try {
    platform = await startPlatform({ args: ['--zram', swap], env: { FN_RECLAIM_AFTER: '500ms' } })
  } catch (error) {
    const absent = (error as Error).message.split('\n').find((line) => line.includes('zram')) ?? 'no zram here'
    const none = { asked: 0, right: 0, starts: {}, firstCalls: latencyOf([]), deployMs: 0 }
    return { frozen, reclaimed: [], absent, ...none }
  }
  try {
    const begun = performance.now()
    const reclaimed = await fillReclaimed(platform, before, options)
    const deployMs = performance.now() - begun
    return { frozen, reclaimed, absent: null, deployMs, ...(await askSome(platform, options.count)) }
  } finally {
    await platform.stop()
  }
}

async function fillFrozen(count: number): Promise<DensityPoint[]> {
  const before = availableBytes()
  const platform = await startPlatform({ env: { FN_RECLAIM_AFTER: '1h' } })
  try {
    const points: DensityPoint[] = []
    for (const upTo of checkpoints(count)) {
      await deployMany(platform, {
        from: points.at(-1)?.count ?? 0,
        count: upTo,
        parallel: PARALLEL,
        settings: SETTINGS,
      })
      await allFrozen(platform, upTo)
      points.push(await readPoint(platform, upTo, before))
    }
    return points
  } finally {
    await platform.stop()
  }
}

async function fillReclaimed(platform: Platform, before: number, options: DensityOptions): Promise<DensityPoint[]> {
  const points: DensityPoint[] = []
  for (const upTo of checkpoints(options.count)) {
    const from = points.at(-1)?.count ?? 0
    const onDeployed = (done: number) => options.onDeployed(from + done)
    await deployMany(platform, { from, count: upTo, parallel: PARALLEL, settings: SETTINGS, onDeployed })
    await allFrozen(platform, upTo)
    await noneShrinks(platform)
    points.push(await readPoint(platform, upTo, before))
  }
  return points
}

/** Where memory is read: 1, 2, 5, 10, … and the last. */
export function checkpoints(count: number): number[] {
  const rounds = [1, 10, 100].flatMap((power) => [power, 2 * power, 5 * power])
  return [...rounds.filter((at) => at < count), count]
}

async function rowsOf(platform: Platform): Promise<SandboxInfo[]> {
  return (await platform.json<SandboxInfo[]>('/v1/sandboxes')).filter((row) => row.function.startsWith('many-'))
}

async function allFrozen(platform: Platform, count: number): Promise<void> {
  await until(
    `${count} sandboxes are frozen`,
    async () => {
      const frozen = (await rowsOf(platform)).filter((row) => row.state === 'frozen').length
      return frozen === count || `${frozen} frozen`
    },
    STEP_DEADLINE_MS,
  )
}

/** The reclaim goes through them one by one; it is over when what they hold stands still. */
async function noneShrinks(platform: Platform): Promise<void> {
  let last = Number.POSITIVE_INFINITY
  await until(
    'nothing is reclaimed any more',
    async () => {
      await delay(900)
      const now = sum(await rowsOf(platform))
      const stands = now > last * 0.99
      last = now
      return stands || `${now} bytes`
    },
    STEP_DEADLINE_MS,
  )
}

function sum(rows: readonly SandboxInfo[]): number {
  return rows.reduce((total, row) => total + row.memoryBytes, 0)
}

async function readPoint(platform: Platform, count: number, before: number): Promise<DensityPoint> {
  const chargedBytes = sum(await rowsOf(platform))
  return { count, chargedBytes, zramBytes: zramBytes(platform), machineBytes: before - availableBytes() }
}

/** mem_used_total of the platform's device: Documentation/admin-guide/blockdev/zram.rst. */
function zramBytes({ id }: Platform): number {
  try {
    const device = readFileSync(`/run/thaw/${id}/zram`, 'utf8').trim()
    return Number(readFileSync(`/sys/block/${device}/mm_stat`, 'utf8').trim().split(/\s+/)[2])
  } catch {
    return 0
  }
}

function availableBytes(): number {
  return Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024
}

async function askSome(
  platform: Platform,
  count: number,
): Promise<Pick<Density, 'asked' | 'right' | 'starts' | 'firstCalls'>> {
  const asked = Math.min(ASKED, count)
  const starts: Record<string, number> = {}
  const took: number[] = []
  let right = 0
  for (let n = 0; n < asked; n++) {
    const which = Math.floor((n * count) / asked)
    const begun = performance.now()
    const response = await platform.request(`/fn/${manyName(which)}`)
    const body = await response.text()
    took.push(performance.now() - begun)
    if (response.status === 200 && body === manyAnswer(which)) right++
    const kind = response.headers.get('fn-start') ?? 'none'
    starts[kind] = (starts[kind] ?? 0) + 1
  }
  return { asked, right, starts, firstCalls: latencyOf(took) }
}
