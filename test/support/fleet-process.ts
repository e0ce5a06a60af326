// One process of a platform that is spread over several: `bin/fn gateway`, `worker` or `up` on a shared Redis, with a state directory
// of its own. Owns that process and directory. Knows the product only by HTTP and `bin/fn`.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CommandResult, PLAIN_PATH, spawn } from '../../runtime/host/spawn.ts'
import { freePort, ROOT } from './platform.ts'
import { leftovers } from './platform-leftovers.ts'
import { text } from './streams.ts'
import { timeScale } from './time-scale.ts'
import { until } from './until.ts'

const FN = join(ROOT, 'bin', 'fn')
const READY_DEADLINE_MS = 60_000
const STOP_DEADLINE_MS = 30_000 * timeScale

export interface FleetProcess {
  /** The id of its state directory. */
  readonly id: string
  readonly stateDir: string
  /** `http://127.0.0.1:<port>`; of a worker: nothing listens there. */
  readonly url: string
  fn(...args: string[]): Promise<CommandResult>
  /** fetch() of a path, with the token for `/v1`. */
  request(path: string, init?: RequestInit): Promise<Response>
  /** The body of `request` as JSON; throws unless it is 2xx. */
  json<T>(path: string, init?: RequestInit): Promise<T>
  output(): string
  kill9(): Promise<void>
  /** SIGTERM; throws unless it ends with code 0 and leaves nothing. Idempotent. */
  stop(): Promise<void>
}

/** Resolves when it says that it is ready; throws with what it printed when it ends first. */
export async function startFleetProcess(
  verb: 'up' | 'gateway' | 'worker',
  redisUrl: string,
  more: Readonly<Record<string, string>> = {},
): Promise<FleetProcess> {
  const stateDir = more.FN_STATE_DIR ?? mkdtempSync(join(tmpdir(), `thaw-${verb}-`))
  const url = `http://127.0.0.1:${await freePort()}`
  const listen: Record<string, string> = verb === 'worker' ? {} : { FN_LISTEN: url.replace('http://', '') }
  const env = { PATH: PLAIN_PATH, HOME: stateDir, REDIS_URL: redisUrl, ...listen, ...more, FN_STATE_DIR: stateDir }
  const child = spawn(FN, [verb], { env, cwd: ROOT })
  // A test runner that ends early must not leave it behind.
  const endWithUs = () => child.kill('SIGTERM')
  process.once('exit', endWithUs)
  const output: string[] = []
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (chunk) => output.push(chunk))
  let ended = false
  void child.exited.then(() => {
    ended = true
    process.off('exit', endWithUs)
  })
  await until(`fn ${verb} is ready`, () => ended || output.join('').includes('ready'), READY_DEADLINE_MS)
  if (ended) throw new Error(`fn ${verb} ended before it was ready\n${output.join('')}`)
  const id = readFileSync(join(stateDir, 'id'), 'utf8').trim()

  const request = (path: string, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers)
    if (path.startsWith('/v1'))
      headers.set('authorization', `Bearer ${readFileSync(join(stateDir, 'token'), 'utf8').trim()}`)
    return fetch(new URL(path, url), { ...init, headers })
  }
  return {
    id,
    stateDir,
    url,
    request,
    output: () => output.join(''),
    fn: async (...args) => {
      const command = spawn(FN, args, { env, cwd: ROOT })
      const [exit, stdout, stderr] = await Promise.all([command.exited, text(command.stdout), text(command.stderr)])
      return { ...exit, stdout, stderr }
    },
    json: async (path, init) => {
      const response = await request(path, init)
      const body = await response.text()
      if (!response.ok) throw new Error(`${init?.method ?? 'GET'} ${path}: ${response.status} ${body}`)
      return JSON.parse(body)
    },
    kill9: async () => {
      child.kill('SIGKILL')
      await child.exited
      await until(`nothing is left of fn ${verb} ${id}`, () => nothingLeft(id, stateDir), 20_000)
      rmSync(stateDir, { recursive: true, force: true })
    },
    stop: async () => {
      if (ended) return
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS)
      const exit = await child.exited
      clearTimeout(timer)
      if (exit.code !== 0) throw new Error(`fn ${verb} ended with ${exit.signal ?? exit.code}\n${output.join('')}`)
      await until(`nothing is left of fn ${verb} ${id}`, () => nothingLeft(id, stateDir), 5_000)
      rmSync(stateDir, { recursive: true, force: true })
    },
  }
}

function nothingLeft(id: string, stateDir: string): true | string {
  const left = leftovers(id, stateDir)
  return left.length === 0 || `left: ${left.join(', ')}`
}
