// Owns the one table code → HTTP (status, title, component) and the gateway's own error class. Every code that any layer
// can report has a row here, and only here. Writes nothing: problem.ts does.
import { LimitError, UnitError } from '../runtime/api.ts'
import type { FailureCode, FailureComponent, InvocationFailure, WorkerErrorCode } from '../worker/api.ts'
import { WorkerError } from '../worker/api.ts'
import { QueueError, type QueueErrorCode } from '../worker/queue/api.ts'
import { RegistryError, type RegistryErrorCode } from '../worker/registry/api.ts'
import { QuotaExceeded } from '../worker/registry/quota-exceeded.ts'

export type GatewayErrorCode =
  /** the request is malformed: target, header, query or body */
  | 'BAD_REQUEST'
  /** no token, or not one of ours */
  | 'UNAUTHORIZED'
  /** `/v1` was called under a host name that is not known (DNS rebinding) */
  | 'FORBIDDEN_HOST'
  /** a web page of another origin called `/v1` */
  | 'FORBIDDEN_ORIGIN'
  /** the token may not do this, or not there */
  | 'FORBIDDEN'
  /** the token's own rate */
  | 'RATE_LIMITED'
  /** the namespace holds, or uses at once, as much as it may */
  | 'QUOTA_EXCEEDED'
  /** runtime's codes about volumes come through unchanged */
  | 'VOLUME_NOT_FOUND'
  | 'VOLUME_EXISTS'
  | 'VOLUME_IN_USE'
  | 'VOLUME_INVALID'
  /** functions call each other deeper than allowed */
  | 'CALL_LOOP'
  /** no such route */
  | 'NOT_FOUND'
  | 'METHOD_NOT_ALLOWED'
  /** head or body did not arrive in time */
  | 'REQUEST_TIMEOUT'
  /** an `Expect` other than `100-continue` */
  | 'EXPECTATION_FAILED'
  | 'HEADERS_TOO_LARGE'
  /** an `Upgrade` nobody here speaks */
  | 'UPGRADE_UNSUPPORTED'
  /** belongs to the surface, not built yet */
  | 'NOT_IMPLEMENTED'
  /** the invocation waited longer than its maximum age */
  | 'INVOCATION_EXPIRED'
  /** no result is kept for this invocation */
  | 'RESULT_NOT_FOUND'
  /** the platform is not ready yet */
  | 'NOT_READY'
  /** a fault of the platform nobody foresaw */
  | 'INTERNAL'

export type ErrorCode = FailureCode | WorkerErrorCode | RegistryErrorCode | QueueErrorCode | GatewayErrorCode

export interface ErrorRow {
  readonly status: number
  readonly title: string
  readonly component: FailureComponent
  /** Status when the code came from a deploy. */
  readonly deployStatus?: number
  /** Status when it may pass later without anything being removed. */
  readonly laterStatus?: number
  /** Seconds for `Retry-After` when nobody computed better ones. */
  readonly retryAfterS?: number
}

/** Every code and what it is over HTTP. */
export const ERRORS = {
  FUNCTION_THREW: { status: 500, title: 'The function threw', component: 'function' },
  FUNCTION_INVALID_RESPONSE: { status: 502, title: 'The function gave no valid response', component: 'function' },
  FUNCTION_INIT_FAILED: {
    status: 502,
    title: 'The function failed to load',
    component: 'function',
    deployStatus: 422,
  },
  FUNCTION_INIT_TIMEOUT: {
    status: 502,
    title: 'The function did not load in time',
    component: 'function',
    deployStatus: 422,
  },
  FUNCTION_CRASHED: { status: 502, title: 'The function ended its process', component: 'function' },
  FUNCTION_OUT_OF_MEMORY: { status: 502, title: 'The function ran out of memory', component: 'function' },
  FUNCTION_PROTOCOL: { status: 502, title: 'The function broke the sandbox protocol', component: 'function' },
  FUNCTION_TIMEOUT: { status: 504, title: 'The function ran out of time', component: 'function' },
  FUNCTION_KILLED: { status: 502, title: 'The sandbox was killed', component: 'sandbox' },
  PLATFORM_STALLED: { status: 503, title: 'The platform stood still over the call', component: 'worker' },
  FUNCTION_BUSY: { status: 429, title: 'The function is at its own limit', component: 'queue', retryAfterS: 1 },
  HOST_FULL: { status: 503, title: 'The host has no room', component: 'worker', retryAfterS: 1 },
  SANDBOX_CREATE_FAILED: {
    status: 503,
    title: 'No sandbox could be created',
    component: 'sandbox',
    retryAfterS: 1,
  },
  IMAGE_CORRUPT: { status: 500, title: 'The stored version is damaged', component: 'worker' },
  LIMIT_BELOW_USE: { status: 409, title: 'The limit is below what is in use', component: 'worker' },
  LIMIT_INVALID: { status: 400, title: 'The limit is not valid', component: 'worker' },
  LIMIT_UNSUPPORTED: { status: 400, title: 'This host cannot enforce the limit', component: 'worker' },
  BODY_ABORTED: { status: 400, title: 'The request body ended early', component: 'gateway' },
  BODY_TOO_LARGE: { status: 413, title: 'The request body is too large', component: 'gateway' },
  CLIENT_GONE: { status: 499, title: 'The caller left', component: 'gateway' },
  CLIENT_SLOW: { status: 499, title: 'The caller did not read its response', component: 'gateway' },
  CANCELLED: { status: 499, title: 'The invocation was cancelled', component: 'worker' },
  DRAINING: { status: 503, title: 'The platform is stopping', component: 'worker', retryAfterS: 5 },
  WORKER_LOST: { status: 502, title: 'The worker died under the call', component: 'worker' },
  SANDBOX_NOT_FOUND: { status: 404, title: 'No such sandbox', component: 'worker' },
  SANDBOX_STATE: { status: 409, title: 'The sandbox is in another state', component: 'worker' },
  DEPLOY_INVALID: { status: 400, title: 'The upload is not a valid function', component: 'worker' },
  DISK_FULL: { status: 507, title: 'The state directory is full', component: 'worker' },
  NAME_INVALID: { status: 400, title: 'The name is not valid', component: 'gateway' },
  FUNCTION_NOT_FOUND: { status: 404, title: 'No such function', component: 'gateway' },
  VERSION_NOT_FOUND: { status: 404, title: 'No such version or alias', component: 'gateway' },
  ALIAS_NOT_FOUND: { status: 404, title: 'No such alias', component: 'gateway' },
  ALIAS_INVALID: { status: 400, title: 'The alias is not valid', component: 'gateway' },
  CONFIG_INVALID: { status: 400, title: 'The configuration is not valid', component: 'gateway' },
  VERSION_IN_USE: { status: 409, title: 'Queued invocations still need this', component: 'queue' },
  REGISTRY_UNAVAILABLE: { status: 503, title: 'The registry is read-only', component: 'queue', retryAfterS: 1 },
  QUEUE_UNAVAILABLE: { status: 503, title: 'The durable lane is away', component: 'queue', retryAfterS: 1 },
  QUEUE_FULL: { status: 503, title: 'The durable lane is full', component: 'queue', retryAfterS: 10 },
  JOB_LOST: { status: 500, title: 'The queue lost the call', component: 'queue' },
  INVOCATION_NOT_FOUND: { status: 404, title: 'No such invocation', component: 'gateway' },
  IDEMPOTENCY_MISMATCH: {
    status: 422,
    title: 'The idempotency key was used with another body',
    component: 'queue',
  },
  DEAD_LETTER_NOT_FOUND: { status: 404, title: 'No such dead letter', component: 'queue' },
  NOT_REDRIVABLE: { status: 409, title: 'The dead letter cannot be redriven', component: 'queue' },
  SCHEDULE_INVALID: { status: 400, title: 'The schedule is not valid', component: 'queue' },
  SCHEDULE_NOT_FOUND: { status: 404, title: 'No such schedule', component: 'queue' },
  NOT_CANCELLABLE: { status: 409, title: 'The invocation cannot be cancelled', component: 'queue' },
  BAD_REQUEST: { status: 400, title: 'Bad request', component: 'gateway' },
  UNAUTHORIZED: { status: 401, title: 'A token is needed', component: 'gateway' },
  FORBIDDEN: { status: 403, title: 'The token may not do this', component: 'gateway' },
  RATE_LIMITED: { status: 429, title: 'The token is at its rate', component: 'gateway' },
  QUOTA_EXCEEDED: { status: 403, title: 'The namespace is at its quota', component: 'gateway', laterStatus: 429 },
  TOKEN_NOT_FOUND: { status: 404, title: 'No such token', component: 'gateway' },
  TOKEN_EXISTS: { status: 409, title: 'The token exists', component: 'gateway' },
  SECRET_INVALID: { status: 400, title: 'The secret is not valid', component: 'gateway' },
  SECRET_NOT_FOUND: { status: 404, title: 'No such secret', component: 'gateway' },
  SECRET_IN_USE: { status: 409, title: 'Functions name the secret', component: 'gateway' },
  VOLUME_NOT_FOUND: { status: 404, title: 'No such volume', component: 'worker' },
  VOLUME_EXISTS: { status: 409, title: 'The volume exists', component: 'worker' },
  VOLUME_IN_USE: { status: 409, title: 'The volume is in use', component: 'worker' },
  VOLUME_INVALID: { status: 400, title: 'The volume is not valid', component: 'worker' },
  NETWORK_NOT_FOUND: { status: 404, title: 'No such network', component: 'gateway' },
  NETWORK_IN_USE: { status: 409, title: 'Functions are on the network', component: 'gateway' },
  CALL_LOOP: { status: 508, title: 'Functions call each other in a circle', component: 'gateway' },
  FORBIDDEN_HOST: { status: 403, title: 'Unknown host name', component: 'gateway' },
  FORBIDDEN_ORIGIN: { status: 403, title: 'Another origin may not do this', component: 'gateway' },
  NOT_FOUND: { status: 404, title: 'Not found', component: 'gateway' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'Method not allowed', component: 'gateway' },
  REQUEST_TIMEOUT: { status: 408, title: 'The request did not arrive in time', component: 'gateway' },
  EXPECTATION_FAILED: { status: 417, title: 'Unknown expectation', component: 'gateway' },
  HEADERS_TOO_LARGE: { status: 431, title: 'The request headers are too large', component: 'gateway' },
  UPGRADE_UNSUPPORTED: { status: 400, title: 'Unknown upgrade', component: 'gateway' },
  NOT_IMPLEMENTED: { status: 501, title: 'Not built yet', component: 'gateway' },
  INVOCATION_EXPIRED: { status: 410, title: 'The invocation expired', component: 'queue' },
  RESULT_NOT_FOUND: { status: 404, title: 'No result is kept', component: 'gateway' },
  NOT_READY: { status: 503, title: 'Not ready', component: 'gateway', retryAfterS: 1 },
  INTERNAL: { status: 500, title: 'Internal error', component: 'gateway' },
} as const satisfies Record<ErrorCode, ErrorRow>

/** An error of the gateway itself; `headers` (flat list) go with the answer, e.g. `Allow`. */
export class GatewayError extends Error {
  readonly code: ErrorCode
  readonly headers: readonly string[]
  constructor(code: ErrorCode, message: string, options: { cause?: unknown; headers?: readonly string[] } = {}) {
    super(message, options)
    this.name = 'GatewayError'
    this.code = code
    this.headers = options.headers ?? []
  }
}

/** RFC 9457 problem details, with the members of docs/http-api.md. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ErrorCode
  readonly component: FailureComponent
  readonly invocationId?: string
  /** Stack of the function's own error, positions of its source. */
  readonly stack?: string
  /** All that is wrong with a configuration. */
  readonly problems?: readonly string[]
  /** Figures that belong to the code. */
  readonly data?: Readonly<Record<string, number | string>>
  /** Of QUOTA_EXCEEDED: which quota, its bound, and how much of it is in use. */
  readonly quota?: string
  readonly bound?: number
  readonly inUse?: number
}
/** A problem and the headers that go with it. */
export interface Refusal {
  readonly problem: Problem
  /** Flat list. */
  readonly headers: readonly string[]
}

interface Extensions {
  readonly component?: FailureComponent
  readonly invocationId?: string | null
  readonly stack?: string | null
  readonly problems?: readonly string[]
  readonly data?: Problem['data']
  readonly retryAfterS?: number | null
  readonly headers?: readonly string[]
  readonly deploying?: boolean
  readonly quota?: Pick<QuotaExceeded['use'], 'quota' | 'bound' | 'inUse'>
}

/** The refusal for a code. */
export function refusalOf(code: ErrorCode, detail: string, more: Extensions = {}): Refusal {
  const row: ErrorRow = ERRORS[code]
  const problem: Problem = {
    type: `urn:thaw:problem:${code.toLowerCase().replaceAll('_', '-')}`,
    title: row.title,
    status: statusIn(row, more),
    detail,
    code,
    component: more.component ?? row.component,
    ...(more.invocationId ? { invocationId: more.invocationId } : {}),
    ...(more.stack ? { stack: more.stack } : {}),
    ...(more.problems && more.problems.length > 0 ? { problems: more.problems } : {}),
    ...(more.data ? { data: more.data } : {}),
    ...(more.quota ?? {}),
  }
  const headers = [...(more.headers ?? [])]
  const retryAfterS = more.retryAfterS ?? row.retryAfterS
  if (retryAfterS !== undefined) headers.push('Retry-After', String(Math.max(1, Math.ceil(retryAfterS))))
  if (code === 'UNAUTHORIZED') headers.push('WWW-Authenticate', 'Bearer realm="thaw"')
  return { problem, headers }
}

function statusIn(row: ErrorRow, { deploying, retryAfterS }: Extensions): number {
  if (deploying && row.deployStatus !== undefined) return row.deployStatus
  return retryAfterS == null ? row.status : (row.laterStatus ?? row.status)
}

/** The text for a caller that may not know more about a fault in the function, or behind it. */
const UNTOLD = 'the log has more under this invocation id, for a token of the namespace'

/** The refusal for a failed invocation. `tellsFaults` false: the caller has no token and gets code, status and invocation id of
 *  what went wrong in the function or behind it, but no message, stack or figures. */
export function refusalOfFailure(failure: InvocationFailure, invocationId: string, tellsFaults: boolean): Refusal {
  const { component } = failure
  if (!tellsFaults && statusOf(failure.code) >= 500 && component !== 'gateway' && component !== 'queue')
    return refusalOf(failure.code, UNTOLD, { component, invocationId, retryAfterS: failure.retryAfterS ?? null })
  return refusalOf(failure.code, failure.message, {
    component: failure.component,
    invocationId,
    stack: failure.stack ?? null,
    ...(failure.data ? { data: failure.data } : {}),
    retryAfterS: failure.retryAfterS ?? null,
  })
}

/** The refusal for anything thrown. What is not an error of ours becomes INTERNAL, its text kept for the log alone. */
export function refusalOfError(error: unknown, invocationId: string | null = null): Refusal {
  if (error instanceof GatewayError)
    return refusalOf(error.code, error.message, { invocationId, headers: error.headers })
  if (error instanceof RegistryError)
    return refusalOf(error.code, error.message, { invocationId, problems: error.problems })
  if (error instanceof QuotaExceeded) {
    const { quota, bound, inUse } = error.use
    const more = { quota: { quota, bound, inUse }, data: { quota, bound, inUse }, retryAfterS: error.retryAfterS }
    return refusalOf(error.code, error.message, { invocationId, ...more })
  }
  if (error instanceof QueueError)
    return refusalOf(error.code, error.message, { invocationId, retryAfterS: error.retryAfterS })
  if (error instanceof WorkerError)
    return refusalOf(error.code, error.message, { invocationId, stack: error.functionStack, deploying: true })
  if (error instanceof LimitError) return refusalOf('LIMIT_INVALID', error.message, { invocationId })
  if (error instanceof UnitError) return refusalOf('BAD_REQUEST', error.message, { invocationId })
  // The border's errors carry their code as data, so one that crossed a process or a second copy of a class is still known.
  const code = (error as { code?: unknown } | null)?.code
  if (typeof code === 'string' && Object.hasOwn(ERRORS, code))
    return refusalOf(code as ErrorCode, (error as Error).message, { invocationId })
  return refusalOf('INTERNAL', 'the platform failed; its log says why', { invocationId })
}

/** The status a failed invocation has over HTTP. */
export function statusOf(code: ErrorCode): number {
  return ERRORS[code].status
}
