// What code did wrong after the answer of its call: finds the call, maps positions, writes record and log.
import type { Fault, StopReason } from '../runtime/api.ts'
import type { InvocationFailure, PlatformEvent } from './api.ts'
import { failureOfFault, withOwnPositions } from './failures.ts'
import type { Slot } from './pool/slot.ts'
import type { VersionPool } from './pool/version-pool.ts'
import type { Records } from './records.ts'
import type { CallLog } from './worker-logs.ts'

/** Of one call. */
export class AfterAnswer {
  failure: InvocationFailure
  /** Resolves when the positions in its stack are known; null: they are. */
  pending: Promise<void> | null = null

  constructor(fault: Fault, pool: VersionPool) {
    this.failure = failureOfFault(fault)
    const mapped = withOwnPositions(this.failure, (text) => pool.mapPositions(text))
    if (!(mapped instanceof Promise)) {
      this.failure = mapped
      return
    }
    this.pending = mapped.then((failure) => {
      this.failure = failure
      this.pending = null
    })
  }
}

/** Notes in record and log, and for listeners, that a sandbox ended between calls, or under a call by what an earlier one had left.
 *  Ignores every other end. */
export function tellLateFault(
  slot: Slot,
  { fault, openCalls }: StopReason,
  records: Records,
  log: CallLog,
  publish: (event: PlatformEvent) => void,
): void {
  const leftBy = fault.data?.leftBy
  const isMeant = fault.code === 'KILLED' || fault.data?.meant !== undefined
  if (isMeant || (openCalls > 0 && leftBy === undefined)) return
  const { pool } = slot
  const { namespace, name, version } = pool.version
  const invocation = leftBy === undefined ? slot.lastInvocation : String(leftBy)
  const told = (failure: InvocationFailure) => {
    const late = { namespace, function: name, version, sandbox: slot.sandbox!.id, invocation, failure }
    if (invocation !== null) records.addAfterAnswer(invocation, failure)
    log.afterAnswer(late)
    publish({ type: 'after-answer', fault: late })
  }
  const mapped = withOwnPositions(failureOfFault(fault), (text) => pool.mapPositions(text))
  if (mapped instanceof Promise) void mapped.then(told)
  else told(mapped)
}
