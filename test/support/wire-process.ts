// The bootstrap as a plain process with a socketpair on fd 3, driven through the real channel: no container, no root.
import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { build } from 'esbuild'
import { buildBootstrap } from '../../cli/bundle/bootstrap.ts'
import type { CallSink, Code, Fault, SandboxCall, SandboxExchange, SandboxLog } from '../../runtime/api.ts'
import { createWire } from '../../runtime/host/wire-socket.ts'
import { FRAME, FRAME_HEADER_BYTES } from '../../runtime/protocol/frames.ts'
import { HEAD_PREFIX_BYTES, writeHead } from '../../runtime/protocol/heads.ts'
import { type Channel, createChannel } from '../../runtime/sandbox/channel.ts'
import { realClock } from './real-clock.ts'

/** What a sink was told, in order and gathered. */
export interface Recorded {
  readonly events: string[]
  status: number
  headers: string[]
  readonly chunks: Buffer[]
  readonly lines: string[]
  fault: Fault | null
  readonly late: Fault[]
  reusable: boolean | null
}

/** A sink that writes down what it is told. */
export function recordingSink(onEvent?: (event: string) => void): { sink: CallSink; recorded: Recorded } {
  const recorded: Recorded = {
    events: [],
    status: 0,
    headers: [],
    chunks: [],
    lines: [],
    fault: null,
    late: [],
    reusable: null,
  }
  const note = (event: string) => {
    recorded.events.push(event)
    onEvent?.(event)
  }
  const sink: CallSink = {
    started: () => note('started'),
    head(status, headers) {
      recorded.status = status
      recorded.headers = [...headers]
      note('head')
    },
    data(chunk) {
      recorded.chunks.push(Buffer.from(chunk))
      note('data')
      return true
    },
    end: () => note('end'),
    failed(fault) {
      recorded.fault = fault
      note('failed')
    },
    idle(reusable) {
      recorded.reusable = reusable
      note('idle')
    },
    late: (fault) => void recorded.late.push(fault),
    log(stream, line) {
      recorded.lines.push(`${stream}: ${line}`)
    },
  }
  return { sink, recorded }
}

/** A call with defaults for what a test does not care about. */
export function callOf(parts: Partial<SandboxCall> = {}): SandboxCall {
  return {
    id: '0190-test',
    method: 'GET',
    target: '/',
    headers: ['Host', 'localhost:8080'],
    body: null,
    timeoutMs: 30_000,
    attempt: 1,
    ...parts,
  }
}

/** A finished call, its body joined. */
export interface Finished extends Recorded {
  readonly body: string
  readonly bytes: Buffer
  /** All values of a response header. */
  all(name: string): string[]
}

/** One running bootstrap. */
export class WireProcess {
  readonly channel: Channel
  readonly pid: number
  readonly faults: Fault[] = []
  readonly exited: Promise<number | null>
  readonly #kill: () => void

  constructor(bootstrapPath: string, env: Record<string, string>, nodeArguments: readonly string[] = []) {
    const { wire, peerFd } = createWire(Buffer.alloc(64 * 1024))
    const child = spawn(process.execPath, [...nodeArguments, bootstrapPath], {
      env: { PATH: process.env.PATH ?? '', ...env },
      stdio: ['ignore', 'ignore', 'ignore', peerFd],
    })
    closeSync(peerFd)
    this.pid = child.pid!
    this.#kill = () => child.kill('SIGKILL')
    this.exited = new Promise((resolve) => {
      child.once('exit', (code) => resolve(code))
    })
    this.channel = createChannel(wire, {
      clock: realClock,
      onFault: (fault) => {
        this.faults.push(fault)
        this.#kill()
        this.channel.fail(fault)
      },
    })
  }

  /** Starts a call and resolves at its `idle`. `begun` gets the exchange. */
  call(
    parts: Partial<SandboxCall> = {},
    begun?: (exchange: SandboxExchange, recorded: Recorded) => void,
  ): Promise<Finished> {
    return new Promise((resolve) => {
      const { sink, recorded } = recordingSink((event) => {
        if (event === 'idle') resolve(finish(recorded))
      })
      const exchange = this.channel.invoke(callOf(parts), sink)
      begun?.(exchange, recorded)
    })
  }

  /** A POST whose body is a stream. */
  upload(body: Readable, parts: Partial<SandboxCall> = {}): Promise<Finished> {
    return this.call({ method: 'POST', body, ...parts })
  }

  async stop(): Promise<void> {
    this.#kill()
    this.channel.close()
    await this.exited
  }
}

function finish(recorded: Recorded): Finished {
  const bytes = Buffer.concat(recorded.chunks)
  return {
    ...recorded,
    bytes,
    body: bytes.toString(),
    all: (name) => recorded.headers.filter((_, index) => index % 2 === 1 && recorded.headers[index - 1] === name),
  }
}

/** Builds the bootstrap once and starts processes from it; `close` stops all and removes the files. */
export class WireBench {
  readonly #folder = mkdtempSync(join(tmpdir(), 'thaw-wire-'))
  readonly #started: WireProcess[] = []
  #path: string | null = null

  async boot(env: Record<string, string> = {}, nodeArguments: readonly string[] = []): Promise<WireProcess> {
    if (this.#path === null) {
      this.#path = join(this.#folder, 'bootstrap.cjs')
      writeFileSync(this.#path, await buildBootstrap(null))
    }
    const started = new WireProcess(this.#path, env, nodeArguments)
    this.#started.push(started)
    await started.channel.ready(20_000)
    return started
  }

  /** A process with `source` loaded: CommonJS as the bundler would make it. */
  async load(
    source: string | Buffer,
    code: Partial<Code> = {},
    log: SandboxLog = () => undefined,
  ): Promise<WireProcess> {
    const started = await this.boot()
    await started.channel.load(codeOf(source, code), 20_000, log)
    return started
  }

  /** A TypeScript source bundled the way functions are, then loaded. */
  async bundle(source: string, resolveDir: string, code: Partial<Code> = {}): Promise<WireProcess> {
    const built = await build({
      stdin: { contents: source, resolveDir, loader: 'ts' },
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node24',
      write: false,
      logLevel: 'silent',
    })
    return this.load(Buffer.from(built.outputFiles[0]!.contents), code)
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.#started.splice(0).map((started) => started.stop()))
  }

  async close(): Promise<void> {
    await this.stopAll()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

export function codeOf(source: string | Buffer, code: Partial<Code> = {}): Code {
  return {
    source: Buffer.from(source as string),
    fileName: 'x.js',
    form: 'web',
    env: {},
    functionName: 'x',
    version: '7',
    ...code,
  }
}

/** A HEAD frame with what comes at once with it. */
export function head(text: string, flags = 0, body = Buffer.alloc(0), id = 1): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + HEAD_PREFIX_BYTES + text.length + body.length)
  body.copy(frame, writeHead(frame, 0, FRAME.HEAD, id, flags, text, body.length))
  return frame
}
