// The product under faults as one thing: its processes, its address, its Redis, its disk and its clock. Starts it, waits for it,
// takes it down and looks for what is left. It strikes nothing by itself.
import { chownSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PLAIN_PATH, run } from '../../runtime/host/spawn.ts'
import type { Disk } from '../support/disk.ts'
import { freePort, ROOT } from '../support/platform.ts'
import { leftovers } from '../support/platform-leftovers.ts'
import { until } from '../support/until.ts'
import { clockEnvironment, removeClockShares, writeOffset } from './own-clock.ts'
import { leaveFolder, mountSeenByAll } from './own-disk.ts'
import { redisArguments, say } from './redis-wire.ts'
import { isDead, Server } from './server.ts'
import { Wire } from './wire.ts'

/** `together`: fn up with its own Redis. `apart`: fn gateway, two fn worker and a Redis of the campaign's. */
export type HouseKind = 'together' | 'apart'

export interface HouseOptions {
  readonly kind: HouseKind
  /** Its state directory lies on a small disk of its own, which may be filled. */
  readonly ownDisk: boolean
  /** Its clock can be moved (`setClock`). */
  readonly ownClock: boolean
  /** Its processes reach their Redis through a wire on which single commands can be harmed (apart only). */
  readonly ownWire?: boolean
  /** All that its processes print goes there, too. */
  readonly logFile?: string | undefined
}

/** A process with a state directory. */
export interface Member {
  readonly server: Server
  readonly stateDir: string
  /** Of its state directory, part of the name of all it makes in the kernel. Empty until its first start, and kept from then
   *  on: the disk may be gone when it is wanted. */
  id: string
}

/** What clients and the account need of it. */
export type Asked = Pick<House, 'request'>

const FN = join(ROOT, 'bin', 'fn')
const SANDBOX_USER = 1000
const DISK_MB = 700
const READY_MS = 60_000
const WORKERS = 2

export class House {
  readonly kind: HouseKind
  readonly url: string
  /** Where the function's journal lies: not on the disk that may be filled. */
  readonly journalDir: string
  readonly disk: Disk | null
  /** fn up or fn gateway. */
  readonly front: Member
  readonly workers: readonly Member[]
  /** null: fn up has its own. */
  readonly redis: Server | null
  readonly wire: Wire | null
  readonly #folder: string
  readonly #clockFile: string
  #token = ''

  private constructor(folder: string, port: number, disk: Disk | null, options: HouseOptions) {
    this.kind = options.kind
    this.#folder = folder
    this.disk = disk
    this.url = `http://127.0.0.1:${port}`
    this.journalDir = join(folder, 'journal')
    this.#clockFile = join(folder, 'clock')
    mkdirSync(this.journalDir)
    // The user inside, as whom a writable folder of the host is bound.
    chownSync(this.journalDir, SANDBOX_USER, SANDBOX_USER)
    const isApart = options.kind === 'apart'
    const redisSocket = join(folder, 'redis.sock')
    this.wire = isApart && options.ownWire === true ? new Wire(join(folder, 'wire.sock'), redisSocket) : null
    const base = {
      PATH: PLAIN_PATH,
      HOME: folder,
      FN_VOLUME_ROOTS: folder,
      FN_STEMS: '1',
      ...(options.ownClock ? clockEnvironment(this.#clockFile) : {}),
      ...(isApart ? { REDIS_URL: `unix://${this.wire?.socketPath ?? redisSocket}` } : {}),
    }
    const { logFile } = options
    const member = (verb: string, stateDir: string, more: Readonly<Record<string, string>>): Member => {
      const env = { ...base, ...more, FN_STATE_DIR: stateDir }
      return {
        id: '',
        stateDir,
        server: new Server({ name: `fn ${verb}`, command: FN, args: [verb], env, cwd: ROOT, logFile }),
      }
    }
    const listen = { FN_LISTEN: `127.0.0.1:${port}` }
    this.front = member(isApart ? 'gateway' : 'up', join(disk?.path ?? folder, 'state'), listen)
    const numbers = isApart ? Array.from({ length: WORKERS }, (_, index) => index + 1) : []
    this.workers = numbers.map((number) => member('worker', join(folder, `worker-${number}`), {}))
    if (isApart) mkdirSync(this.redisDir)
    const args = redisArguments(this.redisDir, redisSocket)
    this.redis = isApart
      ? new Server({ name: 'redis', command: 'redis-server', args, env: { PATH: PLAIN_PATH }, logFile })
      : null
  }

  /** Needs root. Started and ready when it resolves. */
  static async open(options: HouseOptions): Promise<House> {
    const folder = mkdtempSync(join(tmpdir(), 'thaw-fault-'))
    const disk = options.ownDisk ? await mountSeenByAll(folder, DISK_MB) : null
    const house = new House(folder, await freePort(), disk, options)
    house.setClock(0)
    try {
      await house.wire?.open()
      await house.start()
      for (const member of [house.front, ...house.workers])
        member.id = readFileSync(join(member.stateDir, 'id'), 'utf8').trim()
      house.#token = readFileSync(join(house.front.stateDir, 'token'), 'utf8').trim()
      return house
    } catch (error) {
      await house.close()
      throw error
    }
  }

  get servers(): readonly Server[] {
    const redis = this.redis === null ? [] : [this.redis]
    return [...redis, this.front.server, ...this.workers.map(({ server }) => server)]
  }

  /** Starts what does not run and waits until all is ready. Throws with last lines. */
  async start(): Promise<void> {
    for (const server of this.servers) server.start()
    await this.ready()
  }

  async ready(): Promise<void> {
    try {
      await until('/readyz answers 200', () => this.#isReady(), READY_MS)
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.lastLines()}`)
    }
  }

  lastLines(): string {
    return this.servers.map((server) => `${server.name}:\n${server.lastLines()}`).join('\n')
  }

  async #isReady(): Promise<boolean | string> {
    const ended = this.servers.find(({ pid }) => pid === null)
    if (ended !== undefined) return `${ended.name} does not run`
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
    const env = { PATH: PLAIN_PATH, FN_URL: this.url, FN_TOKEN: this.#token, FN_STATE_DIR: this.front.stateDir }
    const ended = await run(FN, args, { env, cwd: ROOT })
    if (ended.code !== 0) throw new Error(`fn ${args.join(' ')}: exit ${ended.code}\n${ended.stderr}`)
  }

  get redisSocket(): string {
    return this.redis === null ? `/run/thaw/${this.front.id}/redis.sock` : join(this.#folder, 'redis.sock')
  }

  get redisDir(): string {
    return this.kind === 'together' ? join(this.front.stateDir, 'redis') : join(this.#folder, 'redis')
  }

  /** null while there is none. */
  redisPid(): number | null {
    if (this.redis !== null) return this.redis.pid
    try {
      const pid = Number(readFileSync(join(this.redisDir, 'redis.pid'), 'utf8'))
      // A pid left in the file may be anybody's by now.
      return pid > 1 && !isDead(pid) && readlinkSync(`/proc/${pid}/cwd`) === this.redisDir ? pid : null
    } catch {
      return null
    }
  }

  /** The process is in a cgroup of this house's. */
  owns(pid: number): boolean {
    try {
      const groups = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
      return [this.front, ...this.workers].some(({ id }) => id !== '' && groups.includes(`/thaw-${id}`))
    } catch {
      return false
    }
  }

  /** Another one than `deadPid` answers, and the platform knows. */
  async redisIsBack(deadPid: number): Promise<void> {
    if (this.redis !== null) {
      // Dead, but its end may not be noticed yet: then it would count as running.
      await this.redis.end('SIGKILL')
      this.redis.start()
    }
    const answers = async (): Promise<boolean | string> => {
      const pid = this.redisPid()
      if (pid === null || pid === deadPid) return 'no other process'
      return await say(this.redisSocket, 'PING', 1_000).then(
        (answer) => answer === '+PONG' || answer,
        (error: Error) => error.message,
      )
    }
    await until('Redis is back', answers, READY_MS)
    await this.ready()
  }

  /** Moves the clock of its processes against the machine's. They look at most a second later. */
  setClock(offsetS: number): void {
    writeOffset(this.#clockFile, offsetS)
  }

  /** Takes it down in order. Resolves to what was left or went wrong, one line each. */
  async close(): Promise<string[]> {
    const wrong: string[] = []
    // ORDER: Redis last: those that stop hand back what they run.
    for (const server of [...this.servers].reverse()) {
      const ended = await server.end('SIGTERM')
      if (ended !== null && ended !== 'code 0') wrong.push(`${server.name} ended with ${ended} on SIGTERM`)
    }
    for (const member of [this.front, ...this.workers]) {
      const { id } = member
      const left = (): string[] => (id === '' ? [] : leftovers(id, member.stateDir))
      await until('nothing is left', () => left().join(', ') || true, 10_000).catch(() => wrong.push(...left()))
    }
    await this.wire?.close()
    if (this.disk !== null) {
      await this.disk.unmount().catch((error: Error) => wrong.push(error.message))
      await leaveFolder(this.#folder)
    }
    for (const pid of this.servers.flatMap(({ pids }) => pids)) removeClockShares(pid)
    rmSync(this.#folder, { recursive: true, force: true })
    return wrong
  }
}
