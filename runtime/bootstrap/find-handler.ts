// Finds in a function's exports what is to be called, and says what was expected where there is nothing of the kind.
// Calls no handler; the forms are those of docs/handler.md.
import type { Env, FetchHandler, FunctionHandler, LambdaHandler } from '../handler.ts'
import type { InitConfig } from '../protocol/messages.ts'
import { sourceOf, types } from './builtins.ts'
import type { Call } from './call.ts'
import { CallContext } from './context.ts'
import { lambdaForm, lambdaVariables } from './lambda.ts'
import { LazyRequest } from './request.ts'

/** Runs the code for one call and gives what it returned. */
export type Handler = (call: Call) => unknown

type EntryClass = new (ctx: CallContext, env: Env) => FetchHandler

/** Throws a TypeError that says what was exported and lists the forms there are. */
export function findHandler(exported: unknown, config: InitConfig): Handler {
  if (config.form !== 'lambda') return webForm(exported, { ...config.env }, config)
  const handler = namedHandler(exported)
  if (handler === null) {
    throw new TypeError(`expected an export named handler that is a function (event, context); ${found(exported)}`)
  }
  return lambdaForm(handler, config)
}

function webForm(exported: unknown, env: Env, config: InitConfig): Handler {
  const target = pick(exported, 'default') ?? exported
  if (hasFetch(target)) {
    return (call) => target.fetch(createRequest(call), env, new CallContext(call, config))
  }
  if (typeof target !== 'function') {
    // A bundle made by another tool does not tell its exports before it has run.
    const handler = namedHandler(target) ?? namedHandler(exported)
    if (handler !== null) {
      Object.assign(process.env, { ...lambdaVariables(config), ...process.env })
      return lambdaForm(handler, config)
    }
    throw new TypeError(`${whatItIs(target, exported)}\n${FORMS}`)
  }
  if (looksLikeNodeApp(target)) throw new TypeError(NODE_APP)
  if (isClass(target)) return classForm(target as unknown as EntryClass, env, config)
  if (types.isGeneratorFunction(target)) {
    throw new TypeError(`the default export is a generator function, which returns no Response\n${FORMS}`)
  }
  const handle = target as unknown as FunctionHandler
  return (call) => handle(createRequest(call), new CallContext(call, config))
}

/** A class like the WorkerEntrypoint of Workers: an instance for each call, made of (ctx, env), whose `fetch` is called. */
function classForm(target: EntryClass, env: Env, config: InitConfig): Handler {
  if (typeof target.prototype.fetch !== 'function' && !makesFetch(target, env)) {
    throw new TypeError(
      `the default export is a class (${target.name || 'without a name'}) without fetch(request)\n${FORMS}`,
    )
  }
  return (call) => {
    const ctx = new CallContext(call, config)
    return new target(ctx, env).fetch(createRequest(call), env, ctx)
  }
}

/** Whether instances have a field `fetch`: that shows only in one. */
function makesFetch(target: EntryClass, env: Env): boolean {
  try {
    return hasFetch(new target({} as CallContext, env))
  } catch {
    return false
  }
}

function createRequest(call: Call): Request {
  const { method, target, headers } = call.head
  return new LazyRequest({
    method,
    target,
    headers,
    inflow: call.inflow,
    signal: () => call.signal,
  }) as unknown as Request
}

/** An export by name; a bundle of an ES module inside another's default is looked into. */
function pick(exported: unknown, name: string): unknown {
  if (typeof exported !== 'object' || exported === null) return undefined
  const value = (exported as Record<string, unknown>)[name]
  if (name !== 'default' || typeof value !== 'object' || value === null) return value
  const inner = value as Record<string, unknown>
  // Exactly true: there are routers that answer to every name, with a function.
  return inner.__esModule === true && inner.default !== undefined ? inner.default : value
}

function namedHandler(exported: unknown): LambdaHandler | null {
  const handler = pick(exported, 'handler')
  return typeof handler === 'function' && !isClass(handler) ? (handler as LambdaHandler) : null
}

function hasFetch(value: unknown): value is FetchHandler {
  const isTarget = (typeof value === 'object' && value !== null) || typeof value === 'function'
  return isTarget && typeof (value as Partial<FetchHandler>).fetch === 'function'
}

/** Written as a class, or as a constructor whose prototype has methods, as older compilers write classes. */
function isClass(target: object): boolean {
  if (sourceOf(target).startsWith('class')) return true
  const { prototype } = target as { prototype?: unknown }
  return typeof prototype === 'object' && prototype !== null && typeof (prototype as FetchHandler).fetch === 'function'
}

/** Express and connect apps are functions of (req, res, next) with a `handle` or `use`. */
function looksLikeNodeApp(value: object): boolean {
  const { handle, use, listen } = value as Record<string, unknown>
  return typeof use === 'function' && (typeof handle === 'function' || typeof listen === 'function')
}

const NODE_APP =
  "the default export is an app for Node's http server; wrap it: export default fromNode(app), from 'thaw'"
const FORMS = [
  'expected one of:',
  "  export default async (request, ctx) => new Response('hello')",
  "  export default { fetch(request, env, ctx) { return new Response('hello') } }",
  '  export default class { fetch(request, env, ctx) { … } }',
  "  export default fromNode(app)                        (req, res) and http servers; import { fromNode } from 'thaw'",
  '  export const handler = async (event, context) => …  the form of AWS Lambda',
].join('\n')

function whatItIs(target: unknown, exported: unknown): string {
  if (target === exported) return found(exported)
  if (types.isPromise(target)) return 'the default export is a Promise: wait for it, `export default await …`'
  if (Array.isArray(target)) return `the default export is an array of ${target.length}`
  if (typeof target !== 'object' || target === null)
    return `the default export is ${target === null ? 'null' : `a ${typeof target}`}`
  const { callback, listen, routing } = target as Record<string, unknown>
  if (typeof listen === 'function' || typeof callback === 'function' || typeof routing === 'function') return NODE_APP
  const names = Object.keys(target)
  const has = names.length === 0 ? 'nothing' : `${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}`
  return `the default export is an object without fetch; it has ${has}`
}

function found(exported: unknown): string {
  if (typeof exported !== 'object' || exported === null) return `module.exports is ${typeof exported}`
  if (types.isPromise(exported)) return 'module.exports is a Promise'
  const names = Object.keys(exported).filter((name) => name !== '__esModule')
  if (names.length === 0) return 'the module exports nothing'
  const described = names.slice(0, 10).map((name) => {
    const value = (exported as Record<string, unknown>)[name]
    return `${name} (${value === null ? 'null' : typeof value})`
  })
  return `found ${described.join(', ')}${names.length > 10 ? ', …' : ''}`
}
