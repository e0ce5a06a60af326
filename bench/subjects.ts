// What a run measures: child servers as yardsticks and peers, the platform with its functions, and the load process that calls
// them. Owns the processes it starts; `stop` ends them all.
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type SpawnedProcess, spawn } from '../runtime/host/spawn.ts'
import { freePort, type Platform, ROOT, startPlatform } from '../test/support/platform.ts'
import { text } from '../test/support/streams.ts'
import { until } from '../test/support/until.ts'
import { type CpuMeter, type CpuTimes, cpuBetween, platformMeter, serverMeter } from './cpu.ts'
import type { Load, LoadResult } from './load.ts'

/** Something that answers HTTP on 127.0.0.1. */
export interface Subject {
  readonly port: number
  readonly meter: CpuMeter
}

export interface Subjects {
  /** A bare node:http server, a bare Hono server. */
  readonly node: Subject
  readonly hono: Subject
  /** null: not here, `absent` says why. */
  readonly workerd: Subject | null
  /** A container for every call; null: no runc. */
  readonly runc: Subject | null
  readonly thaw: Subject
  readonly platform: Platform
  /** From the start of `fn up` to `/readyz`, ms. */
  readonly readyMs: number
  /** Subjects that could not be measured, each with the reason and what to do. */
  readonly absent: readonly string[]
  stop(): Promise<void>
}

/** Functions of the bench: an example under a name of its own, with what the measurement needs in its `fn.json`. */
const FUNCTIONS = [
  { name: 'hello', source: 'functions/hello.ts', config: { freezeGrace: '10m' } },
  { name: 'echo', source: 'functions/echo.ts', config: { freezeGrace: '10m' } },
  { name: 'shared', source: 'functions/hello.ts', config: { freezeGrace: '10m', sandboxConcurrency: 32 } },
  { name: 'frozen', source: 'functions/hello.ts', config: { freezeGrace: '1ms' } },
  { name: 'limited', source: 'functions/hello.ts', config: { freezeGrace: '10m' } },
  { name: 'stemmed', source: 'functions/hello.ts', config: { freezeGrace: '10m' } },
  { name: 'large', source: 'bench/functions/large.ts', config: { freezeGrace: '10m' } },
  { name: 'busy', source: 'bench/functions/busy.ts', config: { freezeGrace: '10m' } },
  // A writable root is fixed at creation, so no stem sandbox serves it: it always starts cold.
  { name: 'cold', source: 'functions/hello.ts', config: { freezeGrace: '10m', writableRoot: '16m' } },
] as const
export type FunctionName = (typeof FUNCTIONS)[number]['name']

export async function startSubjects(): Promise<Subjects> {
  const servers: SpawnedProcess[] = []
  const absent: string[] = []
  let platform: Platform | null = null
  const stop = async (): Promise<void> => {
    // A server that made something takes it away when its stdin ends.
    for (const server of servers) server.stdin?.end()
    await platform?.stop()
    for (const server of servers) server.kill('SIGKILL')
  }
  try {
    const node = await startServer('node-http.ts', servers)
    const hono = await startServer('hono.ts', servers)
    const workerd = await startWorkerd(servers, absent)
    const runc = await startServer('runc-per-call.ts', servers).catch((error: Error) => {
      absent.push(`runc run per call: ${error.message}`)
      return null
    })
    const begun = performance.now()
    platform = await startPlatform()
    const readyMs = performance.now() - begun
    await deployAll(platform)
    const thaw = { port: platform.port, meter: platformMeter(platform) }
    return { node, hono, workerd, runc, thaw, platform, readyMs, absent, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Runs one load in a process of its own. Throws with its first error when more than one call in a hundred failed. */
export async function runLoad(load: Load): Promise<LoadResult> {
  const child = spawn(process.execPath, [join(ROOT, 'bench', 'load.ts'), JSON.stringify(load)])
  const [output, complaint] = await Promise.all([text(child.stdout), text(child.stderr), child.exited])
  if (output === '') throw new Error(`the load generator failed: ${complaint}`)
  const result = JSON.parse(output) as LoadResult
  if (result.errors * 100 > result.calls) {
    throw new Error(
      `${result.errors} errors in ${result.calls} calls of ${JSON.stringify(load)}; the first: ${result.firstError}`,
    )
  }
  return result
}

/** CPU µs a call by share, the generator's own among them. */
export type CpuPerCall = CpuTimes & { readonly generator: number }

/** Runs one load and tells what a call of it cost whom. */
export async function runMetered(load: Load, meter: CpuMeter): Promise<LoadResult & { readonly cpuUs: CpuPerCall }> {
  const before = meter()
  const result = await runLoad(load)
  const used = Object.entries(cpuBetween(before, meter()))
  const perCall = (ms: number) => (result.calls === 0 ? 0 : Math.round((ms * 10_000) / result.calls) / 10)
  const shares = Object.fromEntries(used.map(([share, ms]) => [share, perCall(ms)])) as CpuTimes
  return { ...result, cpuUs: { ...shares, generator: perCall(result.cpuMs) } }
}

async function startServer(file: string, servers: SpawnedProcess[]): Promise<Subject> {
  const { child, port } = await spawnServer(file, servers)
  return { port, meter: serverMeter(child.pid) }
}

/** A server of bench/servers/ by itself. `stop` lets it take away what it made, and resolves when it has ended. */
export async function startOneServer(
  file: string,
  args: readonly string[],
): Promise<{ readonly subject: Subject; stop(): Promise<void> }> {
  const { child, port } = await spawnServer(file, [], args)
  const stop = async () => {
    child.stdin?.end()
    await child.exited
  }
  return { subject: { port, meter: serverMeter(child.pid) }, stop }
}

async function spawnServer(file: string, servers: SpawnedProcess[], args: readonly string[] = []) {
  const child = spawn(process.execPath, [join(ROOT, 'bench', 'servers', file), ...args], {
    ...{ stdin: 'pipe', stderr: 'inherit' },
    env: { PATH: process.env.PATH ?? '' },
  })
  servers.push(child)
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout?.once('data', (chunk: Buffer) => resolve(Number(chunk.toString())))
    void child.exited.then(() => reject(new Error(`bench/servers/${file} ended before it listened`)))
  })
  return { child, port }
}

const WORKERD = join(
  ROOT,
  `.cache/bench/node_modules/@cloudflare/workerd-linux-${process.arch === 'arm64' ? 'arm64' : '64'}/bin/workerd`,
)

async function startWorkerd(servers: SpawnedProcess[], absent: string[]): Promise<Subject | null> {
  if (!existsSync(WORKERD)) {
    absent.push('workerd: not installed; bin/setup --bench fetches it')
    return null
  }
  const port = await freePort()
  const config = join(ROOT, 'bench', 'servers', 'workerd.capnp')
  const child = spawn(WORKERD, ['serve', config, '--socket-addr', `http=127.0.0.1:${port}`])
  let ended = false
  const complaint = text(child.stderr)
  void child.exited.then(() => {
    ended = true
  })
  await until('workerd listens', async () => ended || (await listens(port)))
  if (ended) {
    absent.push(`workerd: does not run here: ${(await complaint).trim().split('\n')[0] ?? ''}`)
    return null
  }
  servers.push(child)
  return { port, meter: serverMeter(child.pid) }
}

/** The version of the workerd that is measured, or null. */
export function workerdVersion(): string | null {
  const manifest = join(WORKERD, '..', '..', 'package.json')
  return existsSync(manifest) ? (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version : null
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** In the tree, where a function's imports find the project's packages. */
function makeFolder(): string {
  const cache = join(ROOT, '.cache')
  mkdirSync(cache, { recursive: true })
  return mkdtempSync(join(cache, 'bench-functions-'))
}

async function deployAll(platform: Platform): Promise<void> {
  const folder = makeFolder()
  try {
    for (const { name, source, config } of FUNCTIONS) {
      const path = join(folder, `${name}.ts`)
      copyFileSync(join(ROOT, source), path)
      writeFileSync(join(folder, `${name}.fn.json`), JSON.stringify(config))
      await platform.deploy(path)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
