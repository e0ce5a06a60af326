// The quotas of a process: their book, the defaults that follow from this host, and what counts their use.
import { statfs } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import type { Runtime } from '../../runtime/api.ts'
import type { Registry } from '../../worker/api.ts'
import { Documents } from '../../worker/registry/documents.ts'
import { namespaceOfOwner } from '../../worker/registry/network-text.ts'
import { QuotaRate } from '../../worker/registry/quota-rates.ts'
import { type HostQuotas, Quotas } from '../../worker/registry/quotas.ts'
import type { Secrets } from '../../worker/registry/secrets.ts'
import type { RedisStore } from '../../worker/store/connect.ts'
import { maxSandboxes, redisMemoryBytes, sandboxMemoryBytes } from './capacity.ts'
import { systemClock } from './clock.ts'
import type { ProcessBase } from './process-parts.ts'

/** The part of the host that a namespace other than `default` may take; the rest lets others start at once. */
const SHARE = 3 / 4
const DISK_SHARE = 1 / 2
const IMAGES_SHARE = 1 / 4
/** What an idle sandbox that is kept warm holds, roughly; together they may hold a quarter of the memory. */
const WARM_BYTES = 64 * 1024 ** 2
const WARM_SHARE = 1 / 4
const LEAST_WARM = 4
const REQUESTS_PER_CORE = 5000
/** Of its own Redis: queued calls, and kept ones, which take twice what they count where somebody is told of them. Together they stay below
 *  what stops the acceptance of all. */
const REDIS_SHARE = 1 / 4

/** What this host can bear of one namespace. */
export function hostQuotas(host: {
  readonly places: number
  readonly memoryBytes: number
  readonly diskBytes: number
  readonly cores: number
  /** What the platform's own Redis may hold; null: it has none of its own. */
  readonly redisBytes: number | null
}): HostQuotas {
  const ofRedis = host.redisBytes === null ? null : Math.floor(host.redisBytes * REDIS_SHARE)
  return {
    ...(ofRedis === null ? {} : { queuedBytes: ofRedis, resultBytes: ofRedis }),
    sandboxes: Math.max(1, Math.floor(host.places * SHARE)),
    memory: Math.floor(host.memoryBytes * SHARE),
    minWarm: Math.max(LEAST_WARM, Math.floor((host.memoryBytes * WARM_SHARE) / WARM_BYTES)),
    volumesBytes: Math.floor(host.diskBytes * DISK_SHARE),
    imagesBytes: Math.floor(host.diskBytes * IMAGES_SHARE),
    requestsPerSecond: host.cores * REQUESTS_PER_CORE,
  }
}

const FIRST_WAIT_MS = 2_000

/** In memory, the same as in Redis. */
export async function openQuotas({ config, steps, logger }: ProcessBase, redis: RedisStore): Promise<Quotas> {
  const { stateDir, pool, quotas: settings } = config
  const { blocks, bsize } = await statfs(stateDir)
  const host = hostQuotas({
    places: maxSandboxes(),
    memoryBytes: pool.sandboxMemoryBytes ?? sandboxMemoryBytes(),
    diskBytes: blocks * bsize,
    cores: availableParallelism(),
    redisBytes: config.redisUrl === null ? (config.redisMemoryBytes ?? redisMemoryBytes()) : null,
  })
  const documents = await steps.run(
    'quotas',
    async () => {
      // The first that asks Redis: its connection may still be on the way. What follows waits for it by itself.
      await redis.waitAvailable(FIRST_WAIT_MS)
      return await new Documents<number | null>({ redis, stateDir, kind: 'quotas', logger }).open()
    },
    (made) => made.close(),
  )
  return new Quotas({ documents, settings, host })
}

/** What can be counted from memory. Other parts report their use themselves. */
export function countHeld(quotas: Quotas, parts: { readonly registry: Registry; readonly secrets: Secrets }): void {
  const { registry, secrets } = parts
  quotas.report('functions', (namespace) => registry.count(namespace))
  quotas.report('versions', (namespace) =>
    registry.list(namespace).reduce((most, { versions }) => Math.max(most, versions.length), 0),
  )
  quotas.report('minWarm', (namespace) => registry.warm(namespace))
  quotas.report('secrets', (namespace) => secrets.count(namespace))
}

/** Names that sandboxes look up: a rate for each namespace, whose sandboxes share what can be open by name. */
export function shareNames(quotas: Quotas, { networks }: Runtime): void {
  const names = new QuotaRate(quotas, 'namesPerSecond', systemClock)
  networks?.shareNames({
    groupOf: namespaceOfOwner,
    mayAsk: (namespace, count) => {
      // An answer that costs more than a second's names costs all of them.
      const most = quotas.quotaOf(namespace, 'namesPerSecond') ?? count
      if (names.take(namespace, Math.min(count, most)) === 0) return true
      quotas.countRefusal(namespace, 'namesPerSecond')
      return false
    },
  })
}
