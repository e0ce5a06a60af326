// Owns what the `Fn-*` request headers (and Prefer) ask of one call: limits, time-out, dispatch, metering, the fate of an
// asynchronous call. Parses and checks; starts nothing.
import {
  formatDuration,
  LIMITS,
  LimitError,
  type LimitName,
  type Limits,
  lowerLimits,
  parseDurationMs,
  parseLimit,
  UnitError,
} from '../../runtime/api.ts'
import type { FunctionConfig } from '../../worker/api.ts'
import { MAX_CHAIN_DEPTH } from '../../worker/queue/api.ts'
import { parseDestination } from '../../worker/registry/destinations.ts'
import { checkNamespace } from '../../worker/registry/names.ts'
import { GatewayError } from '../errors.ts'
import { expectLength, headerSchema } from '../input-bounds.ts'

export interface CallOptions {
  readonly limits: Partial<Limits>
  readonly timeoutMs: number | null
  readonly wantsMetering: boolean
  readonly durable: boolean
  readonly delayMs: number
  readonly priority: number
  readonly maxAttempts: number | null
  /** null: the function's own. */
  readonly maxAgeMs: number | null
  /** Told of the end by a signed POST, or null. */
  readonly callback: string | null
  /** Calls of a chain before this one. */
  readonly chainDepth: number
  /** Names of headers that only mean something for asynchronous calls. */
  readonly asyncOnly: readonly string[]
  /** The first header that only a caller with the scope `invoke` may send, or null. */
  readonly needsToken: string | null
}

const HOUR_MS = 3_600_000
/** Highest age and delay of an asynchronous call. */
export const MAX_AGE_MS = 7 * 24 * HOUR_MS
export const MAX_PRIORITY = 2_097_151
const MAX_ATTEMPTS = 100

/** Options of a call that asks for nothing. */
export const NO_OPTIONS: CallOptions = Object.freeze({
  limits: Object.freeze({}),
  timeoutMs: null,
  wantsMetering: false,
  durable: false,
  delayMs: 0,
  priority: 0,
  maxAttempts: null,
  maxAgeMs: null,
  callback: null,
  chainDepth: 0,
  asyncOnly: Object.freeze([]),
  needsToken: null,
})

const LIMIT_OF_HEADER: ReadonlyMap<string, LimitName> = new Map(
  LIMITS.map((limit) => [`fn-limit-${limit.kebab}`, limit.name]),
)

/** Those a call may change. */
const HEADERS_OF_LIMITS = LIMITS.filter(({ perCall }) => perCall)
  .map(({ kebab }) => `fn-limit-${kebab}`)
  .join(' ')

interface Draft {
  limits: Record<string, unknown>
  timeoutMs: number | null
  wantsMetering: boolean
  durable: boolean
  delayMs: number
  priority: number
  maxAttempts: number | null
  maxAgeMs: number | null
  callback: string | null
  chainDepth: number
  asyncOnly: string[]
  needsToken: string | null
}

/** Reads the request's own headers (flat, names in lower case) against the function's configuration.
 *  Throws GatewayError BAD_REQUEST | NOT_IMPLEMENTED | LIMIT_INVALID. */
export function parseCallOptions(own: readonly string[] | null, config: FunctionConfig): CallOptions {
  if (own === null) return NO_OPTIONS
  const draft: Draft = { ...NO_OPTIONS, limits: {}, asyncOnly: [] }
  for (const [name, value] of joined(own)) {
    expectLength(name, headerSchema(name), value)
    readHeader(draft, name, value, config)
  }
  const limits = draft.limits as Partial<Limits>
  if (Object.keys(limits).length > 0) checkLimitsOfCall(limits, config, draft)
  return { ...draft, limits }
}

/** Names and values; one that came several times as the list it stands for (RFC 9110, 5.3), so that none is lost in silence. */
function joined(own: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  for (let index = 0; index < own.length; index += 2) {
    const [name, value] = [own[index]!, own[index + 1]!.trim()]
    const before = values.get(name)
    values.set(name, before === undefined ? value : `${before},${value}`)
  }
  return values
}

function readHeader(draft: Draft, name: string, value: string, config: FunctionConfig): void {
  if (name.startsWith('fn-limit-')) {
    const limit = LIMIT_OF_HEADER.get(name)
    if (limit === undefined)
      throw new GatewayError('LIMIT_INVALID', `unknown limit header ${name}; known: ${HEADERS_OF_LIMITS}`)
    draft.limits[limit] = parsed(name, () => parseLimit(limit, value))
    return
  }
  switch (name) {
    case 'fn-timeout':
      draft.timeoutMs = parseTimeout(value, config.timeoutMs)
      return
    case 'fn-metering':
      if (value.toLowerCase() !== 'trailer') throw bad(name, 'trailer', value)
      draft.wantsMetering = true
      break
    case 'fn-dispatch':
      if (value.toLowerCase() !== 'durable') throw bad(name, 'durable', value)
      draft.durable = true
      break
    case 'fn-delay':
      draft.delayMs = parseAge(name, value, 0)
      draft.asyncOnly.push(name)
      break
    case 'fn-max-age':
      draft.maxAgeMs = parseAge(name, value, 1)
      draft.asyncOnly.push(name)
      break
    case 'fn-priority':
      draft.priority = parseWhole(name, value, 0, MAX_PRIORITY)
      draft.asyncOnly.push(name)
      break
    case 'fn-max-attempts':
      draft.maxAttempts = parseWhole(name, value, 1, MAX_ATTEMPTS)
      draft.asyncOnly.push(name)
      break
    case 'fn-callback':
      draft.callback = parseCallback(value)
      draft.asyncOnly.push(name)
      break
    case 'fn-chain-depth':
      // A callback that calls a function goes on counting; who makes it up only shortens a chain.
      draft.chainDepth = parseWhole(name, value, 0, MAX_CHAIN_DEPTH)
      return
    default:
      // Ours but unknown (a function that passes its own answer's headers on): dropped, without effect.
      return
  }
  draft.needsToken ??= name
}

// The worker checks again when it runs the call; here it is for an early 400 and for who may raise.
function checkLimitsOfCall(limits: Partial<Limits>, config: FunctionConfig, draft: Draft): void {
  if (config.sandboxConcurrency > 1)
    throw new GatewayError(
      'LIMIT_INVALID',
      `this function runs ${config.sandboxConcurrency} calls at once in a sandbox (sandboxConcurrency), so a call cannot have limits of its own`,
    )
  parsed('Fn-Limit', () => lowerLimits(config.limits, config.maxLimits, limits))
  try {
    lowerLimits(config.limits, {}, limits)
  } catch {
    // Allowed by maxLimits, but above the function's own limits: lowering is open to everybody, raising is not.
    draft.needsToken ??= `fn-limit-${Object.keys(limits)[0]}`
  }
}

function parsed<T>(name: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (error instanceof LimitError) throw new GatewayError('LIMIT_INVALID', error.message, { cause: error })
    if (error instanceof UnitError) throw new GatewayError('BAD_REQUEST', `${name}: ${error.message}`, { cause: error })
    throw error
  }
}

function parseTimeout(value: string, highestMs: number): number {
  const timeoutMs = parsed('Fn-Timeout', () => parseDurationMs(value))
  if (timeoutMs < 1 || timeoutMs > highestMs)
    throw new GatewayError(
      'BAD_REQUEST',
      `Fn-Timeout: expected more than 0 and at most the function's ${formatDuration(highestMs)}, got ${JSON.stringify(value)}`,
    )
  return timeoutMs
}

function parseAge(name: string, value: string, lowestMs: number): number {
  const ms = parsed(name, () => parseDurationMs(value))
  if (ms < lowestMs || ms > MAX_AGE_MS) throw bad(name, `a duration of at most ${formatDuration(MAX_AGE_MS)}`, value)
  return ms
}

function parseCallback(value: string): string {
  try {
    if (parseDestination(value).kind === 'url') return value
  } catch (error) {
    throw new GatewayError('BAD_REQUEST', `Fn-Callback: ${(error as Error).message}`, { cause: error })
  }
  throw bad('Fn-Callback', 'an http(s):// URL', value)
}

function parseWhole(name: string, value: string, lowest: number, highest: number): number {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
  if (!(number >= lowest && number <= highest)) throw bad(name, `a whole number from ${lowest} to ${highest}`, value)
  return number
}

function bad(name: string, expected: string, value: string): GatewayError {
  return new GatewayError('BAD_REQUEST', `${name}: expected ${expected}, got ${JSON.stringify(value)}`)
}

/** What came under one of our names: several values as the list they stand for; null: nothing. */
export function ownValue(own: readonly string[] | null, name: string): string | null {
  if (own === null) return null
  const values: string[] = []
  for (let index = 0; index < own.length; index += 2) if (own[index] === name) values.push(own[index + 1]!)
  return values.length === 0 ? null : values.join(',')
}

/** The value of `Fn-Namespace`, or null. Throws RegistryError NAME_INVALID when it is not a DNS label. */
export function namespaceOf(own: readonly string[] | null): string | null {
  const namespace = ownValue(own, 'fn-namespace')
  if (namespace !== null) checkNamespace(namespace)
  return namespace
}

/** True when a `Prefer` header asks for an asynchronous answer (RFC 7240). Throws GatewayError BAD_REQUEST for one above its bound. */
export function prefersAsync(prefer: string | null): boolean {
  if (prefer === null) return false
  expectLength('Prefer', headerSchema('Prefer'), prefer)
  return prefer.split(',').some((part) => part.split(';')[0]!.trim().toLowerCase() === 'respond-async')
}
