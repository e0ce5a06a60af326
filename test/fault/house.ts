// The product under faults as one thing: its processes, its address, its state directory, its disk and its clock. Starts it,
// waits for it, takes it down and looks for what is left. It strikes nothing by itself.
import { chownSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PLAIN_PATH, run } from '../../runtime/host/spawn.ts'
import type { Disk } from '../support/disk.ts'
import { freePort, ROOT } from '../support/platform.ts'
import { leftovers } from '../support/platform-leftovers.ts'
import { until } from '../support/until.ts'
import { leaveFolder, mountSeenByAll } from './own-disk.ts'
import { isDead, Server } from './server.ts'

export interface HouseOptions {
  /** Its state directory lies on a small disk of its own, which may be filled. */
  readonly ownDisk: boolean
  /** Its clock can be moved (`setClock`). */
  readonly ownClock: boolean
  /** All that its processes print goes there, too. */
  readonly logFile?: string | undefined
}

const FN = join(ROOT, 'bin', 'fn')
const SANDBOX_USER = 1000
const DISK_MB = 700
const READY_MS = 60_000
const CLOCK_LIBRARIES = ['x86_64', 'aarch64'].map((arch) => `/usr/lib/${arch}-linux-gnu/faketime/libfaketime.so.1`)

export class House {
  readonly url: string
  readonly stateDir: string
  /** Where the function's journal lies: not on the disk that may be filled. */
  readonly journalDir: string
  readonly disk: Disk | null
  readonly server: Server
  readonly #folder: string
  readonly #clockFile: string
  #token = ''
  #id = ''

  private constructor(folder: string, port: number, disk: Disk | null, options: HouseOptions) {
    this.#folder = folder
    this.disk = disk
    this.url = `http://127.0.0.1:${port}`
    this.stateDir = join(disk?.path ?? folder, 'state')
    this.journalDir = join(folder, 'journal')
    this.#clockFile = join(folder, 'clock')
    mkdirSync(this.journalDir)
    // The user inside, as whom a writable folder of the host is bound.
    chownSync(this.journalDir, SANDBOX_USER, SANDBOX_USER)
    const env = {
      PATH: PLAIN_PATH,
      HOME: folder,
      FN_LISTEN: `127.0.0.1:${port}`,
      FN_STATE_DIR: this.stateDir,
      FN_VOLUME_ROOTS: folder,
      FN_STEMS: '1',
      ...(options.ownClock ? clockEnvironment(this.#clockFile) : {}),
    }
    const { logFile } = options
    this.server = new Server({ name: 'fn up', command: FN, args: ['up'], env, cwd: ROOT, logFile })
  }

  /** Needs root. Started and ready when it resolves. */
  static async open(options: HouseOptions): Promise<House> {
    const folder = mkdtempSync(join(tmpdir(), 'thaw-fault-'))
    const disk = options.ownDisk ? await mountSeenByAll(folder, DISK_MB) : null
    const house = new House(folder, await freePort(), disk, options)
    house.setClock(0)
    try {
      await house.start()
      house.#token = readFileSync(join(house.stateDir, 'token'), 'utf8').trim()
      house.#id = readFileSync(join(house.stateDir, 'id'), 'utf8').trim()
    } catch (error) {
      await house.close()
      throw error
    }
    return house
  }

  /** Of the state directory: part of the name of all it makes in the kernel. */
  get id(): string {
    return this.#id
  }

  get token(): string {
    return this.#token
  }

  /** Starts what does not run and waits until all is ready. Throws with its last lines. */
  async start(): Promise<void> {
    this.server.start()
    await this.ready()
  }

  async ready(): Promise<void> {
    try {
      await until('/readyz answers 200', () => this.isReady(), READY_MS)
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.server.lastLines()}`)
    }
  }

  async isReady(): Promise<boolean | string> {
    if (this.server.pid === null) return `fn up does not run\n${this.server.lastLines()}`
    return await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(2_000) }).then(
      async (response) => response.status === 200 || `${response.status} ${await response.text()}`,
      (error: Error) => error.message,
    )
  }

  /** A request with the token; rejects when there is no answer within `ms`. */
  request(path: string, init: RequestInit = {}, ms = 15_000): Promise<Response> {
    const headers = new Headers(init.headers)
    headers.set('authorization', `Bearer ${this.#token}`)
    return fetch(`${this.url}${path}`, { signal: AbortSignal.timeout(ms), ...init, headers })
  }

  /** Runs `bin/fn`. Throws with its own words when it fails. */
  async fn(...args: string[]): Promise<void> {
    const env = { PATH: PLAIN_PATH, FN_URL: this.url, FN_TOKEN: this.#token, FN_STATE_DIR: this.stateDir }
    const ended = await run(FN, args, { env, cwd: ROOT })
    if (ended.code !== 0) throw new Error(`fn ${args.join(' ')}: exit ${ended.code}\n${ended.stderr}`)
  }

  get redisSocket(): string {
    return `/run/thaw/${this.#id}/redis.sock`
  }

  get redisDir(): string {
    return join(this.stateDir, 'redis')
  }

  /** null while there is none. */
  redisPid(): number | null {
    try {
      const pid = Number(readFileSync(join(this.redisDir, 'redis.pid'), 'utf8'))
      return pid > 1 && !isDead(pid) ? pid : null
    } catch {
      return null
    }
  }

  /** Moves the clock of its processes against the machine's. They look at most a second later. */
  setClock(offsetS: number): void {
    const fd = openSync(this.#clockFile, 'w')
    writeFileSync(fd, `${offsetS < 0 ? '-' : '+'}${Math.abs(offsetS)}\n`)
    closeSync(fd)
  }

  /** Takes it down in order. Resolves to what was left or went wrong, one line each. */
  async close(): Promise<string[]> {
    const wrong: string[] = []
    const ended = await this.server.end('SIGTERM')
    if (ended !== null && ended !== 'code 0') wrong.push(`fn up ended with ${ended} on SIGTERM`)
    if (this.#id !== '') {
      const left = (): string[] => leftovers(this.#id, this.stateDir)
      await until('nothing is left', () => left().join(', ') || true, 10_000).catch(() => wrong.push(...left()))
    }
    if (this.disk !== null) {
      await this.disk.unmount().catch((error: Error) => wrong.push(error.message))
      await leaveFolder(this.#folder)
    }
    rmSync(this.#folder, { recursive: true, force: true })
    return wrong
  }
}

function clockEnvironment(file: string): Record<string, string> {
  const library = CLOCK_LIBRARIES.find((path) => {
    try {
      closeSync(openSync(path, 'r'))
      return true
    } catch {
      return false
    }
  })
  if (library === undefined) throw new Error('libfaketime is missing; install it: bin/setup --test')
  return {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: '1',
    // Timers go by the monotonic clock, which no change of the date moves.
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
}
