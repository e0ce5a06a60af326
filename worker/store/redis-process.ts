// One `redis-server` process: how it is started, what its last words mean, how an orphan of the same data is found and ended.
// No supervision: embedded-redis.ts decides when to start again.
import { mkdir, readFile, readlink, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Clock, SpawnedProcess, spawn } from '../../runtime/api.ts'
import { StoreError } from './errors.ts'

export interface RedisPaths {
  readonly dataDir: string
  readonly socketPath: string
  readonly pidPath: string
}
type ProcessExit = Awaited<SpawnedProcess['exited']>

const STOP_MS = 5_000
const POLL_MS = 20
const LAST_LINES = 40
/** Longest path of a unix socket, its closing NUL included (unix(7)). */
const SOCKET_PATH_MAX = 107

/** Where everything of one embedded Redis lies; makes the folders. */
export async function preparePaths(stateDir: string, runDir: string): Promise<RedisPaths> {
  const dataDir = join(stateDir, 'redis')
  const socketPath = join(runDir, 'redis.sock')
  if (Buffer.byteLength(socketPath) > SOCKET_PATH_MAX) {
    throw new StoreError('REDIS_START_FAILED', `the socket path is longer than ${SOCKET_PATH_MAX} bytes: ${socketPath}`)
  }
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  await mkdir(runDir, { recursive: true })
  return { dataDir, socketPath, pidPath: join(dataDir, 'redis.pid') }
}

export interface RedisProcess {
  readonly child: SpawnedProcess
  /** Its last lines of output. */
  lastLines(): readonly string[]
}

/** Starts it; it dies with the platform (PR_SET_PDEATHSIG). Every write is on disk before its answer. Throws StoreError REDIS_MISSING. */
export function startProcess(start: typeof spawn, paths: RedisPaths, maxMemoryBytes = 0): RedisProcess {
  const settings: readonly (readonly [string, string])[] = [
    ['port', '0'],
    ['unixsocket', paths.socketPath],
    ['unixsocketperm', '700'],
    ['dir', paths.dataDir],
    ['pidfile', paths.pidPath],
    ['appendonly', 'yes'],
    ['appendfsync', 'always'],
    ['save', ''],
    ['maxmemory', String(maxMemoryBytes)],
    ['maxmemory-policy', 'noeviction'],
    ['daemonize', 'no'],
    ['loglevel', 'notice'],
    // A half-written last command is what a crash leaves: it was never acknowledged.
    ['aof-load-truncated', 'yes'],
  ]
  const flags = settings.flatMap(([name, value]) => [`--${name}`, value])
  let child: SpawnedProcess
  try {
    // Own session: a Ctrl-C of the platform's terminal must not stop Redis before the platform has drained.
    child = start('setpriv', ['--pdeathsig', 'KILL', 'redis-server', ...flags], {
      detached: true,
      stdout: 'pipe',
      stderr: 'pipe',
    })
  } catch (error) {
    throw new StoreError('REDIS_MISSING', 'setpriv is not installed (Debian package: util-linux)', { cause: error })
  }
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8')
    stream?.on('data', (text: string) => {
      lines.push(...text.split('\n').filter((line) => line.trim() !== ''))
      lines.splice(0, Math.max(0, lines.length - LAST_LINES))
    })
  }
  return { child, lastLines: () => lines }
}

/** What the end of a Redis that did not want to stop means, from its last lines. */
export function explainExit(exit: ProcessExit, lines: readonly string[], dataDir: string): StoreError {
  const text = lines.join('\n')
  if (exit.signal !== null) return new StoreError('REDIS_START_FAILED', `redis-server was ended by ${exit.signal}`)
  if (exit.code === 127 || /failed to execute redis-server|No such file or directory.*redis-server/i.test(text)) {
    return new StoreError('REDIS_MISSING', 'redis-server is not installed (Debian: apt-get install redis-server)')
  }
  if (
    /Bad file format|Unrecoverable error reading the append only file|Unexpected end of file reading the append only/i.test(
      text,
    )
  ) {
    const what = 'the append-only file is damaged in its middle'
    return new StoreError(
      'REDIS_DATA_CORRUPT',
      `${what}: ${join(dataDir, 'appendonlydir')}; keep a copy, then mend it with redis-check-aof --fix, or move the folder away`,
    )
  }
  if (/No space left on device|Disk quota exceeded|Short write while writing to the AOF/i.test(text)) {
    return new StoreError('REDIS_DISK_FULL', `redis-server cannot write: the disk of ${dataDir} is full`)
  }
  const telling = lines.filter((line) => !line.includes('overcommit'))
  const last = telling.findLast((line) => /#|\*\*\*|error|fail/i.test(line)) ?? telling.at(-1) ?? 'it said nothing'
  return new StoreError('REDIS_START_FAILED', `redis-server ended with code ${exit.code}: ${last.trim()}`)
}

/** `loading` while it reads its file, `away` when nobody answers. */
export function askRedis(socketPath: string, deadlineMs: number): Promise<'ready' | 'loading' | 'away'> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    const finish = (answer: 'ready' | 'loading' | 'away') => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(deadlineMs, () => finish('away'))
    socket.once('error', () => finish('away'))
    socket.once('close', () => finish('away'))
    socket.once('data', (reply) => finish(reply.toString('latin1').startsWith('+PONG') ? 'ready' : 'loading'))
    socket.write('PING\r\n')
  })
}

/** Ends a Redis that still serves this data folder. A second one on the same file would destroy it. */
export async function stopOrphan(paths: RedisPaths, clock: Clock): Promise<number | null> {
  const pid = await orphanPid(paths)
  if (pid !== null) await stopPid(pid, paths.dataDir, clock)
  await rm(paths.socketPath, { force: true })
  await rm(paths.pidPath, { force: true })
  return pid
}

async function orphanPid(paths: RedisPaths): Promise<number | null> {
  const text = await readFile(paths.pidPath, 'utf8').catch(() => '')
  const pid = Number(text.trim())
  if (!Number.isSafeInteger(pid) || pid <= 1) return null
  return (await servesFolder(pid, paths.dataDir)) ? pid : null
}

/** A pid may belong to anybody by now: only a redis-server that stands in this very folder is ours. */
async function servesFolder(pid: number, dataDir: string): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')
  const folder = await readlink(`/proc/${pid}/cwd`).catch(() => '')
  const wanted = await readlink(dataDir).catch(() => dataDir)
  return command.includes('redis-server') && folder === wanted
}

async function stopPid(pid: number, dataDir: string, clock: Clock): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    try {
      process.kill(pid, signal)
    } catch {
      return
    }
    const deadline = clock.monotonicMs() + STOP_MS
    while (clock.monotonicMs() < deadline) {
      if (!(await servesFolder(pid, dataDir))) return
      await delay(POLL_MS)
    }
  }
}

/** Ends our own child: orderly, then by force. */
export async function stopProcess(child: SpawnedProcess): Promise<void> {
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await child.exited
  clearTimeout(force)
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
