// Why a version gets no sandbox when its namespace's quotas are in the way. Only words; the pool decides when.
import type { InvocationFailure } from '../api.ts'
import { failure } from '../failures.ts'
import type { Quotas } from '../registry/quotas.ts'
import type { HostRoom } from './host-room.ts'
import type { VersionPool } from './version-pool.ts'

/** Why waiting for a sandbox of the version would be in vain, on this host or within the quotas; null: it is not. */
export function whyNeverFits(
  { fn, config, version }: VersionPool,
  room: HostRoom,
  quotas: Quotas | undefined,
): InvocationFailure | null {
  const { memory, scratch } = config.limits
  if (room.neverFits(room.sizeOf(memory)))
    return failure('HOST_FULL', `a sandbox of ${fn.key} needs more memory than this host gives to all together`)
  const quota = fn.space.neverFits(memory, scratch)
  if (quota === null || quotas === undefined) return null
  const more = { memory, sandboxes: 1, volumesBytes: scratch ?? 0 }[quota]
  const { message, use } = quotas.exceeded(version.namespace, quota, 0, null, more)
  return failure('QUOTA_EXCEEDED', message, { data: { quota, bound: use.bound, inUse: 0 } })
}

/** The answer to a call that waited as long as it may for room within the quotas; counts the refusal. */
export function atQuotaText({ fn, config, version }: VersionPool, quotas: Quotas | undefined): string {
  const { space } = fn
  const isDisk = space.missingDisk(config.limits.scratch) > 0
  const quota = isDisk ? 'volumesBytes' : space.missing(0, true).count > 0 ? 'sandboxes' : 'memory'
  quotas?.countRefusal(version.namespace, quota)
  return `namespace ${version.namespace} is at its quota ${quota}, and all of its sandboxes are busy`
}
