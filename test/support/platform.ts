// A real platform for end-to-end tests and benches: `bin/fn up` as a user starts it, on a free port with a state directory of
// its own. Owns that process and directory. Knows the product only by HTTP, `bin/fn` and the files of its state directory.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type CommandResult, PLAIN_PATH, type SpawnedProcess, spawn } from '../../runtime/host/spawn.ts'
import { leftovers, processesOf } from './platform-leftovers.ts'
import { text } from './streams.ts'
import { timeScale } from './time-scale.ts'
import { until } from './until.ts'

/** The repository's root, without a trailing slash. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
const FN = join(ROOT, 'bin', 'fn')
const READY_DEADLINE_MS = 90_000
const STOP_DEADLINE_MS = 20_000 * timeScale
const COMMAND_DEADLINE_MS = 120_000 * timeScale
const LOG_MAX_CHARS = 200_000

export interface PlatformOptions {
  /** Environment besides FN_LISTEN and FN_STATE_DIR. */
  readonly env?: Readonly<Record<string, string>>
  /** Arguments after `up`. */
  readonly args?: readonly string[]
  /** Run it in this network namespace (a path) and listen on this address of it, which this process must reach. */
  readonly within?: { readonly namespace: string; readonly address: string }
  /** Use this state directory and leave it at `stop`; default: a temporary one, removed at `stop`. */
  readonly stateDir?: string
}

export interface Platform {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly port: number
  readonly token: string
  readonly stateDir: string
  /** Part of the name of every kernel object of this platform. */
  readonly id: string
  /** Pid of the running platform; another one after `restart`. */
  readonly pid: number
  /** Runs `bin/fn` against this platform, from the repository's root. Never throws for a failed command. */
  fn(...args: string[]): Promise<CommandResult>
  /** The same with something on stdin. */
  fnWithInput(input: string | Buffer, ...args: string[]): Promise<CommandResult>
  /** Deploys and throws with the command's own words when it fails. */
  deploy(...args: string[]): Promise<void>
  /** fetch() of a path; the token is added for `/v1` unless the request brings its own Authorization. Redirects are not followed. */
  request(path: string, init?: RequestInit): Promise<Response>
  /** The body of `request` as JSON; throws with status and body unless it is 2xx. */
  json<T>(path: string, init?: RequestInit): Promise<T>
  /** Sends bytes over a connection of its own and returns all that comes back until the platform closes it. */
  rawRequest(bytes: string | Buffer): Promise<Buffer>
  /** What the platform printed so far, stdout and stderr. */
  output(): string
  /** SIGTERM, waits, throws unless it ended with code 0 and nothing is left. Removes a temporary state directory. Idempotent. */
  stop(): Promise<void>
  /** SIGKILL to the platform, or to every process of it; waits until they are gone, not for the guard's cleaning. */
  kill9(scope?: 'platform' | 'everything'): Promise<void>
  /** Starts it again on the same port and state directory, after `kill9`. */
  restart(): Promise<void>
}

interface Running {
  readonly process: SpawnedProcess
  readonly output: string[]
}

/** Starts a platform and waits for `/readyz`. Throws with what it printed when it ends first. */
export async function startPlatform(options: PlatformOptions = {}): Promise<Platform> {
  const port = await freePort()
  const host = options.within?.address ?? '127.0.0.1'
  const url = `http://${host}:${port}`
  const stateDir = options.stateDir ?? mkdtempSync(join(tmpdir(), 'thaw-state-'))
  const env = {
    PATH: PLAIN_PATH,
    HOME: stateDir,
    // A machine that is 20 times as slow would stand for as long without any fault.
    ...(timeScale > 1 ? { FN_STALL_AFTER: `${5 * timeScale}s` } : {}),
    ...options.env,
    ...(options.within === undefined ? {} : { FN_BEHIND_PROXY: '1' }),
    FN_LISTEN: `${host}:${port}`,
    FN_STATE_DIR: stateDir,
  }
  const start = () => startProcess(options.args ?? [], env, url, options.within?.namespace ?? null)
  let running: Running | null = await start()
  const token = readFileSync(join(stateDir, 'token'), 'utf8').trim()
  const id = (JSON.parse(readFileSync(join(stateDir, 'kernel-id'), 'utf8')) as { id: string }).id

  const command = (input: string | Buffer | null, args: readonly string[]) => runCommand(args, env, input)
  const request = (path: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers)
    if (path.startsWith('/v1') && !headers.has('authorization')) headers.set('authorization', `Bearer ${token}`)
    return fetch(new URL(path, url), { redirect: 'manual', ...init, headers })
  }
  return {
    url,
    port,
    token,
    stateDir,
    id,
    get pid() {
      if (running === null) throw new Error('the platform is not running')
      return running.process.pid
    },
    fn: (...args) => command(null, args),
    fnWithInput: (input, ...args) => command(input, args),
    deploy: async (...args) => {
      const result = await command(null, ['deploy', ...args])
      if (result.code !== 0) throw new Error(`fn deploy ${args.join(' ')}: exit ${result.code}\n${result.stderr}`)
    },
    request,
    json: async (path, init) => {
      const response = await request(path, init)
      const body = await response.text()
      if (!response.ok) throw new Error(`${init?.method ?? 'GET'} ${path}: ${response.status} ${body}`)
      return JSON.parse(body)
    },
    rawRequest: (bytes) => rawRequest(port, bytes),
    output: () => running?.output.join('') ?? '',
    stop: async () => {
      if (running === null) return
      const stopped = running
      running = null
      try {
        await terminate(stopped)
        await until(`nothing is left of platform ${id}`, () => describe(leftovers(id, stateDir)), 5000)
      } finally {
        if (options.stateDir === undefined) rmSync(stateDir, { recursive: true, force: true })
      }
    },
    kill9: async (scope = 'platform') => {
      if (running === null) return
      const killed = running
      running = null
      if (scope === 'everything') for (const pid of processesOf(id, stateDir)) killPid(pid)
      killed.process.kill('SIGKILL')
      await killed.process.exited
    },
    restart: async () => {
      if (running !== null) throw new Error('the platform is still running')
      running = await start()
    },
  }
}

async function startProcess(
  args: readonly string[],
  env: Record<string, string>,
  url: string,
  namespace: string | null,
): Promise<Running> {
  // nsenter becomes the command: the pid is the platform's.
  const [command, ...first] = namespace === null ? [FN] : ['nsenter', `--net=${namespace}`, FN]
  const child = spawn(command as string, [...first, 'up', ...args], { env, cwd: ROOT })
  // A test runner that ends early must not leave a platform behind.
  const endWithUs = () => child.kill('SIGTERM')
  process.once('exit', endWithUs)
  const output: string[] = []
  let chars = 0
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      chars += chunk.length
      if (chars < LOG_MAX_CHARS) output.push(chunk)
    })
  }
  let ended = false
  void child.exited.then(() => {
    ended = true
    process.off('exit', endWithUs)
  })
  try {
    await until(
      '/readyz answers 200',
      async () => {
        if (ended) return true
        const response = await fetch(`${url}/readyz`).catch(() => null)
        const body = await response?.text()
        return response?.status === 200 || (response ? `${response.status} ${body}` : 'no answer')
      },
      READY_DEADLINE_MS,
    )
    if (ended) throw new Error('fn up ended before it was ready')
  } catch (error) {
    child.kill('SIGTERM')
    throw new Error(`${(error as Error).message}\n${output.join('')}`)
  }
  return { process: child, output }
}

async function terminate(running: Running): Promise<void> {
  running.process.kill('SIGTERM')
  const timer = setTimeout(() => running.process.kill('SIGKILL'), STOP_DEADLINE_MS)
  const exit = await running.process.exited
  clearTimeout(timer)
  if (exit.code !== 0) {
    throw new Error(`fn up ended with ${exit.signal ?? `code ${exit.code}`} on SIGTERM\n${running.output.join('')}`)
  }
}

async function runCommand(
  args: readonly string[],
  env: Record<string, string>,
  input: string | Buffer | null,
): Promise<CommandResult> {
  const child = spawn(FN, args, { env, cwd: ROOT, stdin: input === null ? 'ignore' : 'pipe' })
  child.stdin?.on('error', () => {}) // a command that fails early does not read it
  child.stdin?.end(input)
  const timer = setTimeout(() => child.kill('SIGKILL'), COMMAND_DEADLINE_MS)
  const [exit, stdout, stderr] = await Promise.all([child.exited, text(child.stdout), text(child.stderr)])
  clearTimeout(timer)
  return { ...exit, stdout, stderr }
}

function rawRequest(port: number, bytes: string | Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.once('close', () => resolve(Buffer.concat(chunks)))
    // A platform that refuses may reset the connection after its answer: the answer counts.
    socket.once('error', (error) => (chunks.length > 0 ? resolve(Buffer.concat(chunks)) : reject(error)))
  })
}

function describe(left: readonly string[]): true | string {
  return left.length === 0 || `left: ${left.join(', ')}`
}

function killPid(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // ended by itself
  }
}

/** A port nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
