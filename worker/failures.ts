// How things go wrong, as an invocation reports them: one table of codes with component and recorded status, and the mapping
// from what runtime/ says. Answers no HTTP: the gateway's table does.
import { type Fault, type FaultCode, RuntimeError } from '../runtime/api.ts'
import type { FailureCode, FailureComponent, InvocationFailure, InvocationState } from './api.ts'

/** `status` is what the record shows; 499 is a caller who left. */
export const FAILURES: Readonly<
  Record<FailureCode, { readonly component: FailureComponent; readonly status: number }>
> = Object.freeze({
  FUNCTION_THREW: { component: 'function', status: 500 },
  FUNCTION_INVALID_RESPONSE: { component: 'function', status: 502 },
  FUNCTION_INIT_FAILED: { component: 'function', status: 502 },
  FUNCTION_INIT_TIMEOUT: { component: 'function', status: 502 },
  FUNCTION_CRASHED: { component: 'function', status: 502 },
  FUNCTION_OUT_OF_MEMORY: { component: 'function', status: 502 },
  FUNCTION_PROTOCOL: { component: 'function', status: 502 },
  FUNCTION_TIMEOUT: { component: 'function', status: 504 },
  FUNCTION_KILLED: { component: 'sandbox', status: 502 },
  PLATFORM_STALLED: { component: 'worker', status: 503 },
  FUNCTION_BUSY: { component: 'queue', status: 429 },
  HOST_FULL: { component: 'worker', status: 503 },
  SANDBOX_CREATE_FAILED: { component: 'sandbox', status: 503 },
  IMAGE_CORRUPT: { component: 'worker', status: 500 },
  LIMIT_BELOW_USE: { component: 'worker', status: 409 },
  LIMIT_INVALID: { component: 'worker', status: 400 },
  BODY_ABORTED: { component: 'gateway', status: 400 },
  BODY_TOO_LARGE: { component: 'gateway', status: 413 },
  CLIENT_GONE: { component: 'gateway', status: 499 },
  CLIENT_SLOW: { component: 'gateway', status: 499 },
  CANCELLED: { component: 'worker', status: 499 },
  DRAINING: { component: 'worker', status: 503 },
  WORKER_LOST: { component: 'worker', status: 502 },
  QUEUE_UNAVAILABLE: { component: 'queue', status: 503 },
  QUEUE_FULL: { component: 'queue', status: 503 },
  JOB_LOST: { component: 'queue', status: 500 },
  QUOTA_EXCEEDED: { component: 'worker', status: 403 },
})

/** A failure with its component from the table. */
export function failure(
  code: FailureCode,
  message: string,
  more: Pick<InvocationFailure, 'stack' | 'data' | 'retryAfterS'> = {},
): InvocationFailure {
  return { code, component: FAILURES[code].component, message, ...more }
}

/** The platform takes no more calls. */
export function draining(): InvocationFailure {
  return failure('DRAINING', 'the platform is stopping', { retryAfterS: 1 })
}

const BY_FAULT: Readonly<Record<FaultCode, FailureCode>> = {
  HANDLER_THREW: 'FUNCTION_THREW',
  INVALID_RESPONSE: 'FUNCTION_INVALID_RESPONSE',
  LOAD_FAILED: 'FUNCTION_INIT_FAILED',
  LOAD_TIMEOUT: 'FUNCTION_INIT_TIMEOUT',
  EXITED: 'FUNCTION_CRASHED',
  OUT_OF_MEMORY: 'FUNCTION_OUT_OF_MEMORY',
  PROTOCOL: 'FUNCTION_PROTOCOL',
  KILLED: 'FUNCTION_KILLED',
  STALLED: 'PLATFORM_STALLED',
  // Only when it happened twice: the first time another sandbox takes the call.
  NOT_SENT: 'FUNCTION_CRASHED',
  BODY_ABORTED: 'BODY_ABORTED',
}

/** Its stack still has the positions of the bundle. */
export function failureOfFault(fault: Fault): InvocationFailure {
  return failure(BY_FAULT[fault.code], fault.message, {
    ...(fault.stack === undefined ? {} : { stack: fault.stack }),
    ...(fault.data === undefined ? {} : { data: fault.data }),
  })
}

/** Why a sandbox could not be had. During load the function's own crash or want of memory counts as its failed init. */
export function failureOfLaunch(error: unknown): InvocationFailure {
  if (!(error instanceof RuntimeError)) return failure('SANDBOX_CREATE_FAILED', messageOf(error))
  const { fault } = error
  if (fault !== null && fault.code === 'OUT_OF_MEMORY') return failureOfFault(fault)
  if (error.code === 'LOAD_FAILED' || (fault !== null && error.code === 'SANDBOX_STOPPED')) {
    if (fault?.code === 'KILLED' || fault?.code === 'STALLED') return failureOfFault(fault)
    const { message, ...more } =
      fault === null ? { message: error.message } : failureOfFault({ ...fault, code: 'LOAD_FAILED' })
    return failure('FUNCTION_INIT_FAILED', message, more)
  }
  if (error.code === 'LOAD_TIMEOUT') return failure('FUNCTION_INIT_TIMEOUT', fault?.message ?? error.message)
  if (error.code === 'IMAGE_CORRUPT')
    return failure('IMAGE_CORRUPT', `${error.message}; deploying the same function again mends it`)
  return failure('SANDBOX_CREATE_FAILED', error.message)
}

/** Turns positions in the bundle into the author's own: at once where the map is known, else by a promise that never rejects. */
export type MapStack = (text: string) => string | Promise<string>

/** The failure with the author's own positions in its stack; a promise only where the map has to be decoded first. */
export function withOwnPositions(
  why: InvocationFailure,
  mapStack: MapStack,
): InvocationFailure | Promise<InvocationFailure> {
  if (why.stack === undefined) return why
  const stack = mapStack(why.stack)
  return typeof stack === 'string' ? { ...why, stack } : stack.then((mapped) => ({ ...why, stack: mapped }))
}

/** State of the record of an invocation that ended with this failure. */
export function stateOfFailure(code: FailureCode): InvocationState {
  if (code === 'FUNCTION_TIMEOUT') return 'timed-out'
  return code === 'CLIENT_GONE' || code === 'CANCELLED' ? 'cancelled' : 'failed'
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
