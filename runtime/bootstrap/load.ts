// Loads the function's CommonJS bundle and finds its handler. The code runs in the main context under /code/<fileName>,
// its own lines and columns kept, so that stacks match the bundle's source map.
import type { Env, FetchHandler, FunctionHandler, LambdaHandler } from '../handler.ts'
import type { InitConfig } from '../protocol/messages.ts'
import { createRequire, isAscii, vm } from './builtins.ts'
import type { Call } from './call.ts'
import { CallContext } from './context.ts'
import { lambdaForm } from './lambda.ts'
import { LazyRequest } from './request.ts'

/** Runs the code for one call and gives what it returned. */
export type Handler = (call: Call) => unknown

const WRAPPER = '(function (exports, require, module, __filename, __dirname) {'
const EXPECTED =
  'expected a default export that is a function (request, ctx) or an object with fetch(request, env, ctx)'

export interface Loaded {
  readonly handler: Handler
  /** V8's code cache of the bundle: what has been compiled of it so far. */
  readonly cache: () => Buffer
}

/** Evaluates the bundle and finds its handler; a promise where the code has a top-level await (its exports are one then). A code
 *  cache that V8 rejects costs only the time to compile. Throws, or rejects with, what the code throws, or a TypeError saying what
 *  was exported. */
export function loadHandler(source: Buffer, config: InitConfig, cachedData?: Buffer): Loaded | Promise<Loaded> {
  // esbuild writes ASCII unless told otherwise; taking it as latin1 spares decoding it (1 ms for 800 kB).
  const text = isAscii(source) ? source.toString('latin1') : source.toString()
  const script = compile(text, config.fileName, cachedData)
  const found = (exported: unknown): Loaded => ({
    handler: findHandler(exported, config),
    cache: () => script.createCachedData(),
  })
  const exported = evaluate(script, config.fileName)
  return exported instanceof Promise ? exported.then(found) : found(exported)
}

function findHandler(exported: unknown, config: InitConfig): Handler {
  const env: Env = { ...config.env }
  if (config.form === 'lambda') {
    const handler = pick(exported, 'handler')
    if (typeof handler !== 'function') {
      throw new TypeError(`expected an export named handler that is a function (event, context); ${found(exported)}`)
    }
    return lambdaForm(handler as LambdaHandler, config)
  }
  return webForm(exported, env, config)
}

function webForm(exported: unknown, env: Env, config: InitConfig): Handler {
  const target = pick(exported, 'default') ?? exported
  if (hasFetch(target)) {
    return (call) => target.fetch(createRequest(call), env, new CallContext(call, config))
  }
  if (typeof target !== 'function') throw new TypeError(`${EXPECTED}; ${found(exported)}${lambdaHint(exported)}`)
  if (looksLikeNodeApp(target)) {
    throw new TypeError(
      "the default export is an app for Node's http server; wrap it: export default fromNode(app), from 'thaw'",
    )
  }
  const handle = target as FunctionHandler
  return (call) => handle(createRequest(call), new CallContext(call, config))
}

/** Whoever deploys without the command line has to say the form. */
function lambdaHint(exported: unknown): string {
  const isLambda = typeof pick(exported, 'handler') === 'function' && pick(exported, 'default') === undefined
  return isLambda ? '; for the form of AWS Lambda say "form": "lambda" in fn.json' : ''
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

type Script = InstanceType<typeof vm.Script>

function compile(source: string, fileName: string, cachedData: Buffer | undefined): Script {
  // A hashbang is valid only as the very first characters.
  const text = source.startsWith('#!') ? `//${source.slice(2)}` : source
  return new vm.Script(`${WRAPPER}${text}\n})`, {
    filename: `/code/${fileName}`,
    columnOffset: -WRAPPER.length,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(cachedData === undefined ? {} : { cachedData }),
  })
}

function evaluate(script: Script, fileName: string): unknown {
  const filename = `/code/${fileName}`
  const module = { exports: {}, id: filename, filename, path: '/code', loaded: false, children: [] }
  const wrapped: (...parameters: unknown[]) => void = script.runInThisContext()
  wrapped.call(module.exports, module.exports, createRequire(filename), module, filename, '/code')
  module.loaded = true
  return module.exports
}

/** An export by name; a bundle of an ES module inside another's default is looked into. */
function pick(exported: unknown, name: string): unknown {
  if (typeof exported !== 'object' || exported === null) return undefined
  const value = (exported as Record<string, unknown>)[name]
  if (
    name === 'default' &&
    typeof value === 'object' &&
    value !== null &&
    '__esModule' in value &&
    'default' in value
  ) {
    return value.default
  }
  return value
}

function hasFetch(value: unknown): value is FetchHandler {
  const isTarget = (typeof value === 'object' && value !== null) || typeof value === 'function'
  return isTarget && typeof (value as Partial<FetchHandler>).fetch === 'function'
}

/** Express and connect apps are functions of (req, res, next) with a `handle` or `use`. */
function looksLikeNodeApp(value: object): boolean {
  const { handle, use, listen } = value as Record<string, unknown>
  return typeof use === 'function' && (typeof handle === 'function' || typeof listen === 'function')
}

function found(exported: unknown): string {
  if (typeof exported !== 'object' || exported === null) return `module.exports is ${typeof exported}`
  const names = Object.keys(exported).filter((name) => name !== '__esModule')
  if (names.length === 0) return 'the module exports nothing'
  const described = names.slice(0, 10).map((name) => {
    const value = (exported as Record<string, unknown>)[name]
    return `${name} (${value === null ? 'null' : typeof value})`
  })
  return `found ${described.join(', ')}${names.length > 10 ? ', …' : ''}`
}
