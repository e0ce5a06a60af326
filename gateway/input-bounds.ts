// Owns the bounds of what comes in by path, query and header: one table that the code checks against and the OpenAPI document shows.
// Bodies have theirs in their schemas.
import { LIMITS } from '../runtime/api.ts'
import { GatewayError } from './errors.ts'

/** JSON Schema of a value. */
export type ValueSchema =
  | { readonly type: 'string'; readonly maxLength: number; readonly pattern?: string }
  | { readonly type: 'integer'; readonly minimum: number; readonly maximum: number }

const text = (maxLength: number, pattern?: string): ValueSchema =>
  pattern === undefined ? { type: 'string', maxLength } : { type: 'string', maxLength, pattern }

/** Longest query of a control call, and most characters of a name in a path: names are checked closer by what they name. */
const MOST_QUERY_CHARS = 8192
const NAME_CHARS = 256

const PATH_PARAMETERS: Readonly<Record<string, ValueSchema>> = {
  /** What a function sees is as long as a request line may be. */
  path: text(65_536),
  spec: text(NAME_CHARS),
}

const QUERY_PARAMETERS: Readonly<Record<string, ValueSchema>> = {
  after: text(NAME_CHARS),
  alias: text(NAME_CHARS),
  function: text(NAME_CHARS),
  limit: { type: 'integer', minimum: 1, maximum: 1000 },
  since: text(64),
  state: text(32),
  tail: { type: 'integer', minimum: 0, maximum: 1_000_000 },
  version: text(NAME_CHARS),
  wait: text(32),
}

const DURATION = text(32)
const HEADERS: Readonly<Record<string, ValueSchema>> = {
  prefer: text(1024),
  'idempotency-key': text(1024),
  'fn-namespace': text(63),
  'fn-timeout': DURATION,
  'fn-metering': text(16),
  'fn-dispatch': text(16),
  'fn-delay': DURATION,
  'fn-max-age': DURATION,
  'fn-priority': { type: 'integer', minimum: 0, maximum: 2_097_151 },
  'fn-max-attempts': { type: 'integer', minimum: 1, maximum: 100 },
  'fn-callback': text(2048),
  ...Object.fromEntries(LIMITS.map(({ kebab }) => [`fn-limit-${kebab}`, text(1024)])),
}

export function pathSchema(name: string): ValueSchema {
  return PATH_PARAMETERS[name] ?? text(NAME_CHARS)
}

export function querySchema(name: string): ValueSchema {
  return QUERY_PARAMETERS[name] ?? text(1024)
}

/** `name` in any case. */
export function headerSchema(name: string): ValueSchema {
  return HEADERS[name.toLowerCase()] ?? text(1024)
}

/** Only the length: the reader of a value checks its form. Throws GatewayError BAD_REQUEST with name, bound, value and
 *  way out. */
export function expectLength(where: string, schema: ValueSchema, value: string): void {
  // A number has no more digits than fit; leading zeros are none.
  const most = schema.type === 'string' ? schema.maxLength : 20
  if (value.length <= most) return
  throw new GatewayError(
    'BAD_REQUEST',
    `${where}: expected at most ${most} characters, got ${value.length} (${JSON.stringify(value.slice(0, 40))}…); shorten it`,
  )
}

/** Path and query of a control call. Throws GatewayError BAD_REQUEST. */
export function expectBoundedTarget(
  target: string,
  parameters: Readonly<Record<string, string>>,
  query: Readonly<Record<string, string>>,
): void {
  const mark = target.indexOf('?')
  if (mark >= 0 && target.length - mark - 1 > MOST_QUERY_CHARS)
    throw new GatewayError(
      'BAD_REQUEST',
      `the query: expected at most ${MOST_QUERY_CHARS} characters, got ${target.length - mark - 1}; leave out what the route does not know`,
    )
  for (const [name, value] of Object.entries(parameters)) expectLength(name, pathSchema(name), value)
  for (const [name, value] of Object.entries(query)) {
    expectLength('the name of a query parameter', text(NAME_CHARS), name)
    expectLength(name, querySchema(name), value)
  }
}
