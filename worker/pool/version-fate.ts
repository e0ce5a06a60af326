// What becomes of a version's sandboxes when the registry says something else of it.
import type { VersionFate } from '../api.ts'
import type { Pool } from './pool.ts'
import type { VersionPool } from './version-pool.ts'

/** Destroys idle sandboxes at once when no more calls are expected; busy ones are destroyed by `Pool.release` and the upkeep. Resolves
 *  each as it is destroyed. */
export function setFate(pool: Pool, version: VersionPool, fate: VersionFate): Promise<void>[] {
  const wasKept = !version.retired && !version.superseded
  version.retired = fate === 'gone'
  version.superseded = fate === 'superseded'
  if (fate === 'kept') {
    if (!wasKept) pool.supply.want(version)
    return []
  }
  // One that is superseded already was started for a call by its number.
  const resting = fate === 'gone' || wasKept ? [...version.slots].filter((slot) => slot.resting) : []
  const destroyed = resting.map((slot) => pool.supply.discard(slot))
  if (!version.isActive) pool.detach(version)
  return destroyed
}
