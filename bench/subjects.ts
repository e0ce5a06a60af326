// What a run measures: child servers as yardsticks, the platform with its functions, and the load process that calls them.
// Owns the processes it starts; `stop` ends them all.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type SpawnedProcess, spawn } from '../runtime/host/spawn.ts'
import { type Platform, ROOT, startPlatform } from '../test/support/platform.ts'
import { text } from '../test/support/streams.ts'
import type { Load, LoadResult } from './load.ts'

export interface Subjects {
  readonly nodePort: number
  readonly honoPort: number
  readonly platform: Platform
  /** From the start of `fn up` to `/readyz`, ms. */
  readonly readyMs: number
  stop(): Promise<void>
}

/** Functions of the bench: an example under a name of its own, with what the measurement needs in its `fn.json`. */
const FUNCTIONS = [
  { name: 'hello', source: 'hello.ts', config: { freezeGrace: '10m' } },
  { name: 'echo', source: 'echo.ts', config: { freezeGrace: '10m' } },
  { name: 'shared', source: 'hello.ts', config: { freezeGrace: '10m', sandboxConcurrency: 32 } },
  { name: 'frozen', source: 'hello.ts', config: { freezeGrace: '1ms' } },
  { name: 'limited', source: 'hello.ts', config: { freezeGrace: '10m' } },
  { name: 'stemmed', source: 'hello.ts', config: { freezeGrace: '10m' } },
  // A writable root is fixed at creation, so no stem sandbox serves it: it always starts cold.
  { name: 'cold', source: 'hello.ts', config: { freezeGrace: '10m', writableRoot: '16m' } },
] as const
export type FunctionName = (typeof FUNCTIONS)[number]['name']

export async function startSubjects(): Promise<Subjects> {
  const servers: SpawnedProcess[] = []
  let platform: Platform | null = null
  const stop = async (): Promise<void> => {
    for (const server of servers) server.kill('SIGKILL')
    await platform?.stop()
  }
  try {
    const nodePort = await startServer('node-http.ts', servers)
    const honoPort = await startServer('hono.ts', servers)
    const begun = performance.now()
    platform = await startPlatform()
    const readyMs = performance.now() - begun
    await deployAll(platform)
    return { nodePort, honoPort, platform, readyMs, stop }
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
  const calls = result.latencies.reduce((sum, latency) => sum + latency.count, 0)
  if (result.errors * 100 > calls) {
    throw new Error(
      `${result.errors} errors in ${calls} calls of ${JSON.stringify(load)}; the first: ${result.firstError}`,
    )
  }
  return result
}

async function startServer(file: string, servers: SpawnedProcess[]): Promise<number> {
  const child = spawn(process.execPath, [join(ROOT, 'bench', 'servers', file)], { stdin: 'pipe', stderr: 'inherit' })
  servers.push(child)
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout?.once('data', (chunk: Buffer) => resolve(Number(chunk.toString())))
    void child.exited.then(() => reject(new Error(`bench/servers/${file} ended before it listened`)))
  })
  return port
}

async function deployAll(platform: Platform): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'thaw-bench-'))
  try {
    for (const { name, source, config } of FUNCTIONS) {
      const path = join(folder, `${name}.ts`)
      copyFileSync(join(ROOT, 'functions', source), path)
      writeFileSync(join(folder, `${name}.fn.json`), JSON.stringify(config))
      await platform.deploy(path)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
