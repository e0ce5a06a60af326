// Loads the function's CommonJS bundle. The code runs in the main context under /code/<fileName>,
// its own lines and columns kept, so that stacks match the bundle's source map.
import type { InitConfig } from '../protocol/messages.ts'
import { createRequire, isAscii, vm } from './builtins.ts'
import { findHandler, type Handler } from './find-handler.ts'
import { installLambda } from './lambda-stream.ts'

const WRAPPER = '(function (exports, require, module, __filename, __dirname) {'

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
  if (config.form === 'lambda' || source.includes('awslambda')) installLambda()
  const script = compile(text, config.fileName, cachedData)
  const found = (exported: unknown): Loaded => ({
    handler: findHandler(exported, config),
    cache: () => script.createCachedData(),
  })
  const exported = evaluate(script, config.fileName)
  return exported instanceof Promise ? exported.then(found) : found(exported)
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
