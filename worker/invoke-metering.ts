// What a call used, read when it is over: of calls that overlap in one sandbox the readings are shared. Keeps nothing itself.
import type { Metering } from '../runtime/api.ts'
import type { Slot } from './pool/slot.ts'

/** Of calls that overlap in one sandbox the counters are read at most so often. */
const SHARED_METERING_MS = 5

/** Ends the accounting of one of the slot's calls. Null: the counters went with the sandbox. */
export function meterCall(slot: Slot, nowMs: number): Metering | null {
  const alone = slot.pool.config.sandboxConcurrency === 1
  // Calls that overlap share their figures anyway: a reading of a moment ago does for all but the last of them.
  const recent = slot.inFlight > 1 && nowMs - slot.meteredAtMs < SHARED_METERING_MS ? slot.sharedMetering : null
  if (recent !== null) {
    slot.sandbox!.leaveMetering()
    return recent
  }
  try {
    const metering = slot.sandbox!.endMetering(alone)
    // What is read when nobody else is left is no reading for calls that begin after it.
    if (slot.inFlight > 1) slot.share(metering, nowMs)
    else slot.sharedMetering = null
    slot.justMetered = true
    return metering
  } catch {
    return null
  }
}
