// The forms that values of `fn.json` have (durations, sizes, whole numbers, words) as zod schemas, each with the message that says what
// was expected and what came. Knows no key.
import { z } from 'zod'
import { formatBytes, formatDuration, parseBytes, parseDurationMs, UnitError } from '../../runtime/api.ts'

/** A size or duration as text. */
const MOST_UNIT_CHARS = 32

/** A duration within these; ms. */
export function duration(minMs: number, maxMs: number) {
  const expected = `expected a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`
  return z
    .string({ error: (issue) => `${expected} such as "30s", got ${shown(issue.input)}` })
    .max(MOST_UNIT_CHARS, { error: `${expected}, in at most ${MOST_UNIT_CHARS} characters` })
    .transform((text, context) => {
      return inRange(() => parseDurationMs(text), minMs, maxMs, `${expected}, got ${shown(text)}`, context)
    })
}

/** A size within these, as text or number; bytes. */
export function size(minBytes: number, maxBytes: number) {
  const expected = `expected a size from ${formatBytes(minBytes)} to ${formatBytes(maxBytes)}`
  const error = (issue: { input?: unknown }) => `${expected} such as "64m", got ${shown(issue.input)}`
  const text = z.string().max(MOST_UNIT_CHARS)
  const number = z.number().min(0).max(Number.MAX_SAFE_INTEGER)
  return z.union([text, number], { error }).transform((value, context) => {
    const parse = () => (typeof value === 'number' ? value : parseBytes(value))
    return inRange(parse, minBytes, maxBytes, `${expected}, got ${shown(value)}`, context)
  })
}

type Issues = { addIssue(message: string): void }
function inRange(parse: () => number, min: number, max: number, message: string, context: Issues): number {
  let value: number
  try {
    value = parse()
  } catch (error) {
    if (!(error instanceof UnitError)) throw error
    context.addIssue(error.message)
    return z.NEVER
  }
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  context.addIssue(message)
  return z.NEVER
}

/** A whole number within these. */
export function whole(min: number, max: number) {
  const error = (issue: { input?: unknown }) =>
    `expected a whole number from ${min} to ${max}, got ${shown(issue.input)}`
  return z.int({ error }).min(min, { error }).max(max, { error })
}

/** Said of a text above its bound: the bound, what came, the way out. */
export function tooLong(issue: { readonly maximum?: unknown; readonly input?: unknown }): string {
  const length = typeof issue.input === 'string' ? issue.input.length : 0
  return `expected at most ${issue.maximum} characters, got ${length}; shorten it`
}

/** One of a few words. */
export function oneOf<const T extends string>(...values: readonly T[]) {
  return z.enum(values, {
    error: (issue) => `expected ${values.map((value) => `"${value}"`).join(' or ')}, got ${shown(issue.input)}`,
  })
}

/** True or false. */
export const bool = z.boolean({ error: (issue) => `expected true or false, got ${shown(issue.input)}` })

/** A value as messages show it. */
export function shown(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(typeof value === 'string' ? value.slice(0, 100) : value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
