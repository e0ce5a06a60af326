// Owns reading what control calls say: namespace, paging, durations, times, small JSON bodies. Throws GatewayError BAD_REQUEST
// with the parameter's name, what was expected and what came. A parameter without a value (`?limit=`) is as good as none.
import type { IncomingMessage } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { z } from 'zod'
import { parseDurationMs } from '../../runtime/api.ts'
import type { FunctionEntry } from '../../worker/registry/api.ts'
import { JsonBoundError, parseBoundedJson } from '../../worker/registry/bounded-json.ts'
import { checkFunctionName, checkNamespace, DEFAULT_NAMESPACE } from '../../worker/registry/names.ts'
import { namespaceFor } from '../auth/scopes.ts'
import { DOCUMENT_BYTES } from '../control-gate.ts'
import { GatewayError } from '../errors.ts'
import { RequestBody } from '../invocation/request-body.ts'
import { answerJson } from '../json-portions.ts'
import type { ControlContext, ControlParts } from './route.ts'

/** The token's namespace, `Fn-Namespace`, or `default`. Throws RegistryError NAME_INVALID | GatewayError FORBIDDEN. */
export function namespaceOf(context: ControlContext): string {
  return givenNamespace(context) ?? DEFAULT_NAMESPACE
}

/** The token's namespace, `Fn-Namespace`, or null. Throws RegistryError NAME_INVALID | GatewayError FORBIDDEN. */
export function givenNamespace(context: ControlContext): string | null {
  const namespace = context.req.header('fn-namespace') ?? null
  if (namespace !== null) checkNamespace(namespace)
  return namespaceFor(context.env.outgoing.caller, namespace)
}

/** The `{name}` of the path, as it was sent. */
export function nameOf(context: ControlContext): string {
  return context.req.param('name') ?? ''
}

/** The function the path names. Throws RegistryError NAME_INVALID | FUNCTION_NOT_FOUND. */
export function functionOf(context: ControlContext, { registry }: Pick<ControlParts, 'registry'>): FunctionEntry {
  const name = nameOf(context)
  checkFunctionName(name)
  return registry.get(namespaceOf(context), name)
}

/** Problems that are reported of one document. */
const MOST_PROBLEMS = 20
const DEFAULT_LIMIT = 100
const HIGHEST_LIMIT = 1000
const VIEWED_AT_ONCE = 32

interface Named {
  readonly name: string
}

/** `?limit=&after=`. */
export interface Page {
  readonly limit: number
  readonly after: string | null
}

export function pageOf(context: ControlContext): Page {
  return {
    limit: wholeOf(context, 'limit', 1, HIGHEST_LIMIT) ?? DEFAULT_LIMIT,
    after: textOf(context, 'after'),
  }
}

/** Answers one page of a list that has been cut to `limit + 1` or left whole; names the next page in `Link`. `next`: what to go
 *  on after when the list is not whole though it is short. */
export function answerPage<T>(
  context: ControlContext,
  items: readonly T[],
  page: Page,
  keyOf: (item: T) => string,
  next: string | null = null,
): Response {
  const shown = items.slice(0, page.limit)
  const last = shown.at(-1)
  const after = items.length > page.limit && last !== undefined ? keyOf(last) : next
  if (after !== null) {
    const search = new URLSearchParams(context.req.query())
    search.set('limit', String(page.limit))
    search.set('after', after)
    context.header('Link', `<${context.req.path}?${search}>; rel="next"`)
  }
  return answerJson(context, shown)
}

/** Answers one page of what is sorted by name. Only what is shown is read and viewed, and one more. */
export async function answerByName<T extends Named, V extends Named>(
  context: ControlContext,
  read: (after: string | null, limit: number) => readonly T[] | Promise<readonly T[]>,
  view: (one: T) => V | Promise<V>,
): Promise<Response> {
  const page = pageOf(context)
  const found = await read(page.after, page.limit + 1)
  const shown: V[] = []
  // Some at once; then other calls have their turn.
  for (let at = 0; at < found.length; at += VIEWED_AT_ONCE) {
    if (at > 0) await turn()
    shown.push(...(await Promise.all(found.slice(at, at + VIEWED_AT_ONCE).map(view))))
  }
  return answerPage(context, shown, page, ({ name }) => name)
}

/** One page of a whole list that is short by its nature and sorted by name. */
export function pageIn<T extends Named>(all: readonly T[]): (after: string | null, limit: number) => readonly T[] {
  return (after, limit) => all.filter(({ name }) => after === null || name > after).slice(0, limit)
}

/** What a query says under a name; null when it says nothing. */
export function textOf(context: ControlContext, name: string): string | null {
  return context.req.query(name) || null
}

/** A whole number in a query, or null. */
export function wholeOf(context: ControlContext, name: string, lowest: number, highest: number): number | null {
  const text = textOf(context, name)
  if (text === null) return null
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= lowest && value <= highest)) throw bad(name, `a whole number from ${lowest} to ${highest}`, text)
  return value
}

/** A duration in a query, ms, cut at `highestMs`; 0 when not given. */
export function durationOf(context: ControlContext, name: string, highestMs: number): number {
  const text = textOf(context, name)
  if (text === null) return 0
  try {
    return Math.min(parseDurationMs(text), highestMs)
  } catch {
    throw bad(name, 'a duration such as 500ms or 30s', text)
  }
}

/** An RFC 3339 time, or a duration before `nowMs`; null when not given. */
export function sinceOf(context: ControlContext, name: string, nowMs: number): number | null {
  const text = textOf(context, name)
  if (text === null) return null
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(time)) return time
  try {
    return nowMs - parseDurationMs(text)
  } catch {
    throw bad(name, 'a time such as 2026-01-31T12:00:00Z or a duration such as 5m', text)
  }
}

/** One of a set of words, or null. */
export function wordOf<T extends string>(context: ControlContext, name: string, words: readonly T[]): T | null {
  const text = textOf(context, name)
  if (text === null) return null
  const word = words.find((candidate) => candidate === text)
  if (word === undefined) throw bad(name, `one of ${words.join(', ')}`, text)
  return word
}

function bad(name: string, expected: string, value: string): GatewayError {
  return new GatewayError('BAD_REQUEST', `${name}: expected ${expected}, got ${JSON.stringify(value.slice(0, 100))}`)
}

/** A document as its schema has it. Throws GatewayError BAD_REQUEST with what is expected and all that is wrong. */
export function parseBody<S extends z.ZodType>(schema: S, document: unknown, expected: string): z.output<S> {
  const parsed = schema.safeParse(document)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.slice(0, MOST_PROBLEMS).map((issue) => {
    return `${issue.path.join('.').slice(0, 80) || 'the body'}: ${issue.message.slice(0, 200)}`
  })
  throw new GatewayError('BAD_REQUEST', `expected ${expected}; ${problems.join('; ')}`, { cause: parsed.error })
}

/** JSON Schema of a body, for the OpenAPI document. */
export function bodySchema(schema: z.ZodType): object {
  const { $schema: _dialect, ...json } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return json
}

/** Reads a small JSON document; `empty` is what no body at all stands for. Rejects with GatewayError BAD_REQUEST | BODY_TOO_LARGE. */
export async function readJson(incoming: IncomingMessage, empty?: unknown): Promise<unknown> {
  const text = await readText(incoming)
  if (text === '' && empty !== undefined) return empty
  try {
    return parseBoundedJson(text)
  } catch (error) {
    if (error instanceof JsonBoundError)
      throw new GatewayError('BAD_REQUEST', `the body: ${error.message}`, { cause: error })
    throw new GatewayError('BAD_REQUEST', `the body is not JSON: ${(error as Error).message}`, { cause: error })
  }
}

// By way of RequestBody: leaving a loop over the request itself would destroy the connection the refusal has to take.
async function readText(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of new RequestBody(incoming, DOCUMENT_BYTES)) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}
