// A runtime of one's own for tests on the real kernel: state directory, bootstrap, calls that collect their answers.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildBootstrap } from '../../cli/bundle/bootstrap.ts'
import type {
  CallSink,
  Code,
  Fault,
  Runtime,
  Sandbox,
  SandboxCall,
  SandboxExchange,
  SandboxSpec,
} from '../../runtime/api.ts'
import { DEFAULT_LIMITS, type Limits } from '../../runtime/limits/limits.ts'
import { createRuntime, type RuntimeOptions, stateId } from '../../runtime/runtime.ts'
import { expectNothingLeft } from './leftovers.ts'
import { realClock, silentLogger } from './real-clock.ts'

export interface TestRuntime {
  readonly runtime: Runtime
  readonly stateDir: string
  readonly platformId: string
  /** Creates a sandbox and loads `source` (CommonJS); destroyed by `close`. */
  start(source: string, limits?: Partial<Limits>, spec?: SpecChange): Promise<Sandbox>
  /** Closes the runtime and removes its state directory. Throws when something could not be given back or is left in the kernel. */
  close(): Promise<void>
}

export interface SpecChange {
  readonly layers?: readonly string[]
  readonly writableRootBytes?: number
  readonly volumes?: SandboxSpec['volumes']
}

export async function startTestRuntime(options: Partial<RuntimeOptions> = {}): Promise<TestRuntime> {
  const stateDir = options.stateDir ?? mkdtempSync(join(tmpdir(), 'thaw-kernel-'))
  const troubles: string[] = []
  const runtime = await createRuntime({
    bootstrap: await buildBootstrap(null),
    nodeBinary: process.execPath,
    logger: { ...silentLogger, warn: (fields, message) => void troubles.push(`${message}: ${JSON.stringify(fields)}`) },
    clock: realClock,
    ...options,
    stateDir,
  })
  const platformId = await stateId(stateDir)
  return {
    runtime,
    stateDir,
    platformId,
    start: async (source, limits = {}, spec = {}) => {
      const sandbox = await runtime.create({
        layers: spec.layers ?? [],
        limits: { ...DEFAULT_LIMITS, ...limits },
        network: 'none',
        writableRootBytes: spec.writableRootBytes ?? null,
        ...(spec.volumes === undefined ? {} : { volumes: spec.volumes }),
      })
      await sandbox.load(codeOf(source), 10_000, () => {})
      return sandbox
    },
    close: async () => {
      troubles.length = 0
      await runtime.close()
      rmSync(stateDir, { recursive: true, force: true })
      expectNothingLeft(platformId)
      if (troubles.length > 0) throw new Error(`the runtime did not close well:\n  ${troubles.join('\n  ')}`)
    },
  }
}

/** A bundle whose default export is `source`, an expression, e.g. `async (request) => new Response('hi')`. */
export function codeOf(source: string): Code {
  return {
    source: Buffer.from(`module.exports = { default: ${source} }`),
    fileName: 'test.js',
    form: 'web',
    env: {},
    functionName: 'test',
    version: '1',
  }
}

export interface Answer {
  readonly status: number | null
  readonly text: string
  readonly fault: Fault | null
  readonly reusable: boolean
  readonly lines: readonly string[]
}

export interface CallInFlight {
  readonly exchange: SandboxExchange
  readonly started: Promise<void>
  readonly answer: Promise<Answer>
}

/** Calls the sandbox and collects everything until it is idle. */
export function begin(sandbox: Sandbox, target = '/', body: SandboxCall['body'] = null): CallInFlight {
  const chunks: Buffer[] = []
  const lines: string[] = []
  let status: number | null = null
  let fault: Fault | null = null
  const answer = Promise.withResolvers<Answer>()
  const started = Promise.withResolvers<void>()
  const sink: CallSink = {
    started: () => started.resolve(),
    head: (code) => {
      status = code
    },
    data: (chunk) => {
      chunks.push(Buffer.from(chunk))
      return true
    },
    end: () => {},
    failed: (reason) => {
      fault = reason
    },
    idle: (reusable) => {
      answer.resolve({ status, text: Buffer.concat(chunks).toString('utf8'), fault, reusable, lines })
    },
    log: (stream, line) => lines.push(`${stream}: ${line}`),
  }
  const exchange = sandbox.invoke(
    {
      id: crypto.randomUUID(),
      method: body === null ? 'GET' : 'POST',
      target,
      headers: ['host', 'test'],
      body,
      timeoutMs: 30_000,
      attempt: 1,
    },
    sink,
  )
  return { exchange, started: started.promise, answer: answer.promise }
}

/** Calls the sandbox and waits for the answer. */
export function call(sandbox: Sandbox, target = '/', body: SandboxCall['body'] = null): Promise<Answer> {
  return begin(sandbox, target, body).answer
}

/** Runs an expression inside (with `fs` at hand) and returns its JSON value; an error becomes its code or message. */
export async function evaluate(sandbox: Sandbox, expression: string): Promise<unknown> {
  const { text, fault } = await call(sandbox, '/', Buffer.from(expression))
  if (fault) throw new Error(`${fault.code}: ${fault.message}`)
  return JSON.parse(text)
}

/** Code for `evaluate`. */
export const EVALUATOR = `async (request) => {
  const fs = require('node:fs'), os = require('node:os'), child = require('node:child_process')
  try { return Response.json((await eval(await request.text())) ?? null) }
  catch (error) { return Response.json(error.code ?? error.message) }
}`
