// What one change costs as functions, versions and secrets grow in number: registry, image store and named documents on a Redis and a
// state directory of their own, no sandboxes. `node bench/growth.ts` prints a line for each number.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { openImageStore } from '../runtime/image/image-store.ts'
import { realClock, silentLogger } from '../test/support/real-clock.ts'
import { startTestRedis } from '../test/support/redis.ts'
import { sampleConfig, versionOf } from '../test/support/samples.ts'
import { Documents } from '../worker/registry/documents.ts'
import { createRegistry } from '../worker/registry/registry.ts'
import { connectRedis } from '../worker/store/connect.ts'
import { latencyOf } from './latency.ts'

export const COUNTS = [1, 10, 100, 1_000, 10_000] as const
const NAMESPACE = 'default'
const MISSES = 2_000

export interface GrowthCost {
  /** Functions, versions of one function, and secrets that were there. */
  readonly count: number
  /** Until all is read at a start. */
  readonly openMs: number
  /** Medians of one change, its fsyncs and Redis included. */
  readonly deployMs: number
  readonly versionMs: number
  readonly secretMs: number
  /** One call of a name that is nearly another's. */
  readonly missUs: number
  /** A page of 100 functions. */
  readonly pageUs: number
  /** Longest time the event loop stood while changes were made. */
  readonly standMs: number
}

/** `changes`: of each kind. Redis and folders are gone afterwards. */
export async function measureGrowth(count: number, changes: number): Promise<GrowthCost> {
  const stateDir = mkdtempSync(join(tmpdir(), 'thaw-growth-'))
  const server = await startTestRedis()
  const redis = connectRedis({ socketPath: server.socketPath }, silentLogger)
  const closers: (() => Promise<void>)[] = [() => server.close(), () => redis.close()]
  try {
    fill(stateDir, count)
    const begun = performance.now()
    const images = await openImageStore(stateDir)
    closers.push(() => images.close())
    const copy = { stateDir, images }
    const registry = await createRegistry({ redis, copy, logger: silentLogger, clock: realClock })
    closers.push(() => registry.close())
    const secrets = await new Documents<string>({ redis, stateDir, kind: 'secrets', logger: silentLogger }).open()
    closers.push(() => secrets.close())
    const openMs = performance.now() - begun
    const deploy = async (name: string, n: number): Promise<void> => {
      const config = sampleConfig(name)
      const parts = { source: Buffer.from(`${name} ${n}`), sourceMap: null, addonTar: null, config }
      const { digest } = await images.put(parts)
      await registry.commit(registry.candidate(NAMESPACE, name, digest, config).version, null)
    }
    const loop = monitorEventLoopDelay({ resolution: 5 })
    loop.enable()
    const deployMs = await medianOf(changes, (n) => deploy(`new-${n}`, n))
    const versionMs = await medianOf(changes, (n) => deploy('many', n))
    const secretMs = await medianOf(changes, (n) => secrets.put(`${NAMESPACE}/NEW_${n}`, 's'.repeat(4096), 'replace'))
    loop.disable()
    const missUs = costOf(MISSES, (n) => {
      try {
        registry.resolve(NAMESPACE, `functoin-${n % count}`, null, 0)
      } catch {}
    })
    const pageUs = costOf(100, () => void registry.page(NAMESPACE, `function-${count >> 1}`, 100))
    return { count, openMs, deployMs, versionMs, secretMs, missUs, pageUs, standMs: loop.max / 1e6 }
  } finally {
    for (const close of closers.reverse()) await close()
    rmSync(stateDir, { recursive: true, force: true })
  }
}

/** A state directory as a platform leaves it that has so many of each; its Redis is empty, and is filled from it. */
function fill(stateDir: string, count: number): void {
  mkdirSync(stateDir, { recursive: true })
  const numbers = Array.from({ length: count }, (_, n) => n)
  const image = (n: number) => `sha256:${String(n).padStart(64, '0')}`
  const stored = (name: string, versions: readonly number[], of: (n: number) => string) => ({
    ...{ namespace: NAMESPACE, name, createdAt: '2030-01-01T00:00:00.000Z', updatedAt: '2030-01-01T00:00:00.000Z' },
    ...{ lastVersion: versions.length, removed: false, aliases: { latest: { weights: { [versions.length]: 100 } } } },
    versions: versions.map((n) => ({ ...versionOf(name, { public: true }), version: n + 1, image: of(n) })),
  })
  const functions = Object.fromEntries(
    numbers.map((n) => [`${NAMESPACE}/function-${n}`, stored(`function-${n}`, [0], () => image(n))]),
  )
  functions[`${NAMESPACE}/many`] = stored('many', numbers, (n) => image(count + n))
  const annotations = { 'thaw.registry': JSON.stringify({ epoch: 1, functions }) }
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const manifests = Array.from({ length: 2 * count }, (_, n) => ({ mediaType, digest: image(n), size: 100 }))
  writeFileSync(join(stateDir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests, annotations }))
  const documents = Object.fromEntries(numbers.map((n) => [`${NAMESPACE}/S_${n}`, JSON.stringify('s'.repeat(4096))]))
  writeFileSync(join(stateDir, 'secrets.json'), JSON.stringify({ epoch: 1, documents }))
}

async function medianOf(times: number, work: (n: number) => Promise<unknown>): Promise<number> {
  const samples: number[] = []
  for (let n = 0; n < times; n++) {
    const from = performance.now()
    await work(n)
    samples.push(performance.now() - from)
  }
  return latencyOf(samples).p50
}

function costOf(times: number, work: (n: number) => void): number {
  const from = performance.now()
  for (let n = 0; n < times; n++) work(n)
  return ((performance.now() - from) * 1000) / times
}

if (import.meta.main) {
  for (const count of COUNTS) {
    const cost = await measureGrowth(count, Number(process.argv[2] ?? 30))
    const ms = (value: number) => `${value.toFixed(2)} ms`
    const changes = `deploy ${ms(cost.deployMs)}, version ${ms(cost.versionMs)}, secret ${ms(cost.secretMs)}`
    const reads = `near miss ${cost.missUs.toFixed(0)} µs, page ${cost.pageUs.toFixed(0)} µs`
    console.log(`${count}: start ${ms(cost.openMs)}, ${changes}, ${reads}, longest stand ${ms(cost.standMs)}`)
  }
}
