// What an operator does to single sandboxes: freeze, thaw, restart, kill. Goes through the pool, so that its books stay right.
import type { SandboxAction, SandboxInfo } from './api.ts'
import { WorkerError } from './api.ts'
import type { Pool } from './pool/pool.ts'
import { freezeSlot } from './pool/pool-upkeep.ts'
import { type Slot, slotInfo } from './pool/slot.ts'

/** Throws WorkerError SANDBOX_NOT_FOUND | SANDBOX_STATE. */
export async function actOnSandbox(pool: Pool, sandboxId: string, action: SandboxAction): Promise<SandboxInfo> {
  const stem = pool.supply.stems.info(sandboxId)
  if (stem !== null) return actOnStem(pool, stem, action)
  const slot = findSlot(pool, sandboxId)
  if (slot === null) throw new WorkerError('SANDBOX_NOT_FOUND', `no sandbox ${sandboxId}`)
  if (action === 'freeze') await freeze(pool, slot)
  else if (action === 'thaw') thaw(pool, slot)
  else if (action === 'restart') restart(pool, slot)
  else kill(pool, slot, 'killed by an operator')
  return slotInfo(slot)
}

/** All slots that have a sandbox, the oldest first; null: of all namespaces. */
export function listSandboxes(pool: Pool, namespace: string | null): SandboxInfo[] {
  const found: SandboxInfo[] = namespace === null ? pool.supply.stems.list() : []
  for (const version of pool.versions.values()) {
    if (namespace !== null && version.version.namespace !== namespace) continue
    for (const slot of version.slots) if (slot.sandbox !== null) found.push(slotInfo(slot))
  }
  return found.sort((a, b) => (a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : 0))
}

/** A stem can be killed (another takes its place); it is frozen already, and thaws when a function takes it. */
function actOnStem(pool: Pool, stem: SandboxInfo, action: SandboxAction): SandboxInfo {
  if (action === 'thaw') throw new WorkerError('SANDBOX_STATE', 'a stem thaws only when a function takes it')
  if (action !== 'freeze') pool.supply.stems.kill(stem.id, 'killed by an operator')
  return stem
}

function findSlot(pool: Pool, sandboxId: string): Slot | null {
  for (const version of pool.versions.values()) {
    for (const slot of version.slots) if (slot.sandbox?.id === sandboxId) return slot
  }
  return null
}

async function freeze(pool: Pool, slot: Slot): Promise<void> {
  if (slot.state === 'frozen') return
  if (slot.state !== 'idle')
    throw new WorkerError('SANDBOX_STATE', `only an idle sandbox can be frozen; this one is ${slot.state}`)
  if (slot.freezing || !(await freezeSlot(pool, slot))) {
    throw new WorkerError(
      'SANDBOX_STATE',
      'the sandbox did not freeze: a call came first, or the kernel did not confirm it',
    )
  }
}

function thaw(pool: Pool, slot: Slot): void {
  if (slot.state === 'idle' || slot.state === 'busy') return
  if (slot.state !== 'frozen')
    throw new WorkerError('SANDBOX_STATE', `only a frozen sandbox can be thawed; this one is ${slot.state}`)
  if (!pool.thaw(slot)) throw new WorkerError('SANDBOX_STATE', 'the host has no memory left to thaw it')
}

function restart(pool: Pool, slot: Slot): void {
  kill(pool, slot, 'restarted by an operator')
  pool.replace(slot.pool)
}

function kill(pool: Pool, slot: Slot, message: string): void {
  slot.sandbox!.kill({ code: 'KILLED', message })
  if (slot.state !== 'loading') pool.condemn(slot, Number.POSITIVE_INFINITY)
}
