// The limits a call runs with: the function's own, lowered or raised as the call asks, and never above what namespace and host allow.
import {
  expectUnderCeilings,
  formatBytes,
  type LimitCeiling,
  LimitError,
  type Limits,
  lowerLimits,
  type Runtime,
  RuntimeError,
} from '../runtime/api.ts'
import type { InvocationFailure } from './api.ts'
import { failure } from './failures.ts'
import type { HostRoom } from './pool/host-room.ts'
import type { VersionPool } from './pool/version-pool.ts'

export class CallLimits {
  readonly #runtime: Runtime
  readonly #room: HostRoom
  readonly #ceilings: readonly LimitCeiling[]

  constructor(runtime: Runtime, room: HostRoom, ceilings: readonly LimitCeiling[]) {
    this.#runtime = runtime
    this.#room = room
    this.#ceilings = ceilings
  }

  /** The call's complete limits, or why it may not have them. `asked`: those that the call names. */
  of(pool: VersionPool, asked: Partial<Limits>): Limits | InvocationFailure {
    const { limits: own, maxLimits, sandboxConcurrency } = pool.config
    try {
      // The function may have been deployed when more was allowed.
      expectUnderCeilings(own, this.#ceilings)
      if (isEmpty(asked)) return own
      if (sandboxConcurrency > 1) {
        return failure('LIMIT_INVALID', 'a function with sandboxConcurrency above 1 has no limits per call')
      }
      const limits = lowerLimits(own, maxLimits, asked)
      expectUnderCeilings(limits, this.#ceilings)
      this.#expectRoom(limits)
      this.#runtime.checkLimits(this.#withCpusOfHere(asked), limits)
      return limits
    } catch (error) {
      if (error instanceof LimitError || error instanceof RuntimeError) return failure('LIMIT_INVALID', error.message)
      throw error
    }
  }

  /** The version's own limits are allowed and fit this host. Throws LimitError. */
  expectOwn(pool: VersionPool): void {
    expectUnderCeilings(pool.config.limits, this.#ceilings)
    this.#expectRoom(pool.config.limits)
  }

  /** The process that accepted the call knows how many CPUs the largest machine has. On a smaller one the bound holds by itself:
   *  nothing here uses more than there is, and an accepted call does not fail because of where it runs. */
  #withCpusOfHere(asked: Partial<Limits>): Partial<Limits> {
    return asked.cpus == null ? asked : { ...asked, cpus: Math.min(asked.cpus, this.#runtime.host.cores) }
  }

  /** Waiting for room that can never be would end as if the host were full. Throws LimitError. */
  #expectRoom(limits: Limits): void {
    const room = this.#room
    if (!room.neverFits(room.sizeOf(limits.memory))) return
    const all = `this host gives to all sandboxes together (${formatBytes(room.memoryBytes)})`
    throw new LimitError('memory', `${formatBytes(limits.memory)} is more than ${all}`)
  }
}

function isEmpty(limits: Partial<Limits>): boolean {
  for (const _ in limits) return false
  return true
}
