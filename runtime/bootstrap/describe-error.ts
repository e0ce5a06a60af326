// What is said of whatever a function throws: its message, and its stack with causes, parts and properties. The platform's own
// frames are left out. Reads hostile objects (proxies, getters that throw, cycles) and never throws itself.
import { inspect } from './builtins.ts'

/** An error as the wire carries it. */
export interface ErrorText {
  readonly message: string
  readonly stack?: string
}

// What FAIL and EXIT carry at most is cut again there; here it is cut with a mark.
const MAX_STACK_CHARS = 6000
const CUT_MARK = '\n… [cut]'
/** Causes of causes, and parts of parts. */
const MAX_DEPTH = 6
const MAX_PARTS = 10
const MAX_PROPERTIES = 12
const VALUE_OPTIONS = { depth: 1, breakLength: Infinity, maxStringLength: 200, maxArrayLength: 5 } as const
const TOLD_ALREADY: ReadonlySet<string> = new Set(['stack', 'message', 'name', 'cause', 'errors'])

/** Message and stack of anything thrown. A value that is no error has no stack. */
export function describeError(error: unknown): ErrorText {
  try {
    const stack = stackOf(error)
    const message = messageOf(error) ?? stack?.split('\n', 1)[0] ?? inspectValue(error)
    if (stack === null) return { message }
    const text = wholeStack(error as object, new Set(), MAX_DEPTH)
    return { message, stack: text.length > MAX_STACK_CHARS ? text.slice(0, MAX_STACK_CHARS) + CUT_MARK : text }
  } catch {
    return { message: 'an error that cannot be described' }
  }
}

/** A short description of a value that should have been something else. */
export function describeValue(value: unknown): string {
  try {
    if (value === undefined || value === null) return String(value)
    if (typeof value === 'function') return `a function ${value.name}`.trimEnd()
    const options = { depth: 0, breakLength: Infinity, maxStringLength: 80, maxArrayLength: 5 }
    return `${typeof value} ${inspect(value, options)}`.slice(0, 200)
  } catch {
    return typeof value
  }
}

/** `name: message`, or null for what is no error. An AggregateError without a message says those of its parts. */
function messageOf(error: unknown): string | null {
  if (!isObject(error)) return typeof error === 'string' ? error : null
  const message = read(error, 'message')
  if (typeof message !== 'string') return null
  const name = read(error, 'name')
  const parts = message === '' ? partsOf(error).map(messageOf).filter(Boolean).slice(0, MAX_PARTS).join('; ') : message
  if (typeof name !== 'string' || (name === 'Error' && parts !== '')) return parts
  return parts === '' ? name : `${name}: ${parts}`
}

function stackOf(error: unknown): string | null {
  const stack = isObject(error) ? read(error, 'stack') : null
  return typeof stack === 'string' ? stack : null
}

/** The stack with properties, parts and causes below it, each with its own. */
function wholeStack(error: object, seen: Set<object>, depth: number): string {
  seen.add(error)
  let text = cutOwnFrames(stackOf(error) ?? messageOf(error) ?? inspectValue(error)) + propertiesText(error)
  partsOf(error)
    .slice(0, MAX_PARTS)
    .forEach((part, index) => {
      text += nested(`[errors][${index}]`, part, seen, depth)
    })
  const cause = read(error, 'cause')
  return cause === undefined || cause === null ? text : text + nested('[cause]', cause, seen, depth)
}

function nested(label: string, value: unknown, seen: Set<object>, depth: number): string {
  if (!isObject(value)) return `\n${label}: ${inspectValue(value)}`
  if (seen.has(value)) return `\n${label}: [circular]`
  if (depth === 0) return `\n${label}: ${messageOf(value) ?? inspectValue(value)}`
  return `\n${label}: ${wholeStack(value, seen, depth - 1)}`
}

/** `code`, `statusCode` and the like, as Node prints them. */
function propertiesText(error: object): string {
  const lines: string[] = []
  for (const name of Object.keys(error)) {
    if (TOLD_ALREADY.has(name)) continue
    if (lines.length === MAX_PROPERTIES) {
      lines.push('…')
      break
    }
    const property = Object.getOwnPropertyDescriptor(error, name)
    const value = property === undefined || 'value' in property ? inspectValue(property?.value) : '[Getter]'
    lines.push(`${/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name)}: ${value}`)
  }
  return lines.length === 0 ? '' : ` {\n  ${lines.join(',\n  ')}\n}`
}

function partsOf(error: object): unknown[] {
  const parts = read(error, 'errors')
  return Array.isArray(parts) ? parts : []
}

function inspectValue(value: unknown): string {
  try {
    return inspect(value, VALUE_OPTIONS)
  } catch {
    return 'a value that cannot be described'
  }
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}

/** A property; undefined where reading it throws. */
function read(from: object, name: string): unknown {
  try {
    return (from as Record<string, unknown>)[name]
  } catch {
    return undefined
  }
}

const OWN_FILE = `${process.argv[1]}:`
// Where the code asked for colours an escape sequence of five characters stands before some.
const FRAME = /^\S{0,5}\s+(?:at |\.\.\. \d+ lines matching )/
/** Frames that may stand between two of the platform's, or below the last of them. */
const PLUMBING = /\(?(?:node:|<anonymous>|native)|lines matching/
/** What `inspect` puts behind the last frame of an error that has properties, or stands in a list. */
const TRAILER = /(?: \{|,| [\]}]+,?)$/

/** The text without the frames of the platform that called the code, and those of Node below them. Code that the platform's
 *  own classes were called from keeps its frames. `ownFile` is for tests. */
export function cutOwnFrames(text: string, ownFile: string = OWN_FILE): string {
  if (!text.includes(ownFile)) return text
  const lines = text.split('\n')
  const kept: string[] = []
  for (let index = 0; index < lines.length; index++) {
    if (!FRAME.test(lines[index]!)) {
      kept.push(lines[index]!)
      continue
    }
    const first = index
    while (index + 1 < lines.length && FRAME.test(lines[index + 1]!)) index++
    keepFrames(lines.slice(first, index + 1), kept, ownFile)
  }
  return kept.join('\n')
}

function keepFrames(frames: readonly string[], into: string[], ownFile: string): void {
  const isOwn = (frame: string) => frame.includes(ownFile)
  const lastOfCode = frames.findLastIndex((frame) => !isOwn(frame) && !PLUMBING.test(frame))
  const firstOwn = frames.findIndex((frame, index) => index > lastOfCode && isOwn(frame))
  const shown = (firstOwn < 0 ? frames : frames.slice(0, firstOwn)).filter((frame) => !isOwn(frame))
  into.push(...shown)
  const last = frames.at(-1)!
  const trailer = shown.at(-1) === last ? null : TRAILER.exec(last)
  if (trailer !== null && into.length > 0) into[into.length - 1] += trailer[0]
}
