// Records of invocations as the control API gives them, for end-to-end tests.

import type { Metering } from '../../runtime/api.ts'
import type { InvocationFailure, InvocationRecord } from '../../worker/api.ts'
import type { Platform } from './platform.ts'

/** A record whose metering and error are there to be looked at; a missing one fails at its first use. */
export type FullRecord = Omit<InvocationRecord, 'metering' | 'error'> & {
  readonly metering: Metering
  readonly error: InvocationFailure
}

/** The record of the call that a response, or a problem body's `invocationId`, names. */
export function recordOf(platform: Platform, of: Response | Readonly<Record<string, unknown>>): Promise<FullRecord> {
  const id = of instanceof Response ? of.headers.get('fn-invocation-id') : String(of.invocationId)
  return platform.json<FullRecord>(`/v1/invocations/${id}`)
}
