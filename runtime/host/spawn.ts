// The one door to child processes: typed streams, an `exited` promise, an optional socket on fd 3.
// Nothing is inherited from the platform: no environment unless given, no shell, no file descriptors but those named.
import { type ChildProcess, spawn as nodeSpawn, type StdioOptions } from 'node:child_process'
import { closeSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { Duplex, Readable, Writable } from 'node:stream'
import { createOutlet, createWire, type WireSocket } from './wire-socket.ts'

export interface SpawnOptions {
  /** The whole environment of the child; nothing is added. Default: a plain PATH only. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Default `ignore` (reads end of file at once). */
  readonly stdin?: 'pipe' | 'ignore'
  /** Default `pipe`. `inherit` writes to the platform's own streams. */
  readonly stdout?: 'pipe' | 'ignore' | 'inherit'
  readonly stderr?: 'pipe' | 'ignore' | 'inherit'
  /** Gives the child one end of a connected stream socket as fd 3; `socket` is the other. Default false. */
  readonly extraSocket?: boolean
  /** For a child that hands its streams on to a function's code: fd 3 with a WireSocket as `socket`, which reads into this
   *  buffer (it may be shared by many), and sockets that refuse descriptors as stdout and stderr, where those are pipes. */
  readonly wireBuffer?: Buffer
  /** Own session: signals to the platform's process group do not reach it. Default false. */
  readonly detached?: boolean
}

/** How a process ended: exactly one of the two is not null. */
export interface ProcessExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface SpawnedProcess {
  readonly pid: number
  /** Null unless asked for as `pipe`. */
  readonly stdin: Writable | null
  readonly stdout: Readable | null
  readonly stderr: Readable | null
  readonly socket: Duplex | null
  /** Descriptors of our ends, where `wireBuffer` was given: wire, stdout, stderr. */
  readonly descriptors: readonly number[]
  /** Resolves when the process itself has ended, whoever still holds its streams. Never rejects. */
  readonly exited: Promise<ProcessExit>
  /** Sends a signal (default SIGTERM); false when the process is already gone. */
  kill(signal?: NodeJS.Signals): boolean
  /** Lets the platform's event loop end while the child runs. */
  unref(): void
}

/** PATH of children that are given no environment. */
export const PLAIN_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Starts `command` (a path, or a name looked up in the child's PATH). Throws an Error naming the command when it cannot be started. */
export function spawn(command: string, args: readonly string[], options: SpawnOptions = {}): SpawnedProcess {
  const stdio: Exclude<StdioOptions, string> = [
    options.stdin ?? 'ignore',
    options.stdout ?? 'pipe',
    options.stderr ?? 'pipe',
  ]
  const own = options.wireBuffer === undefined ? null : openSockets(stdio, options.wireBuffer)
  if (own === null && options.extraSocket === true) stdio.push('pipe')
  const child = startChild(command, args, stdio, options)
  for (const fd of own?.peerFds ?? []) closeSync(fd)
  // Without a listener a failure to start would surface a tick later as an uncaught error.
  child?.on('error', () => {})
  const pid = child?.pid
  if (child === null || pid === undefined) {
    for (const socket of [own?.wire, own?.stdout, own?.stderr]) socket?.destroy()
    throw new Error(`cannot start ${command}: not found or not executable`)
  }
  const exited = new Promise<ProcessExit>((resolve) => {
    // 'exit', not 'close': a container's init keeps the streams of the OCI runtime open.
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  return {
    pid,
    stdin: child.stdin,
    stdout: own?.stdout ?? child.stdout,
    stderr: own?.stderr ?? child.stderr,
    descriptors: own?.ownFds ?? [],
    socket: own?.wire ?? (child.stdio[3] as Duplex | null | undefined) ?? null,
    exited,
    kill: (signal) => child.kill(signal),
    unref: () => child.unref(),
  }
}

interface OwnSockets {
  readonly wire: WireSocket
  /** Null where they are no pipes. */
  readonly stdout: Socket | null
  readonly stderr: Socket | null
  readonly ownFds: readonly number[]
  /** What the child inherits. */
  readonly peerFds: readonly number[]
}

/** Makes them, and names what the child inherits in `stdio`. All or none. */
function openSockets(stdio: Exclude<StdioOptions, string>, wireBuffer: Buffer): OwnSockets {
  const sockets: Socket[] = []
  const ownFds: number[] = []
  const peerFds: number[] = []
  const keep = <T extends Socket>(nth: number, socket: T, ends: { ownFd: number; peerFd: number }): T => {
    sockets.push(socket)
    ownFds.push(ends.ownFd)
    peerFds.push(ends.peerFd)
    stdio[nth] = ends.peerFd
    return socket
  }
  const openOutlet = (nth: number): Socket | null => {
    if (stdio[nth] !== 'pipe') return null
    const { outlet, ...ends } = createOutlet()
    return keep(nth, outlet, ends)
  }
  try {
    const { wire, ...ends } = createWire(wireBuffer)
    return { wire: keep(3, wire, ends), stdout: openOutlet(1), stderr: openOutlet(2), ownFds, peerFds }
  } catch (error) {
    for (const socket of sockets) socket.destroy()
    for (const fd of peerFds) closeSync(fd)
    throw error
  }
}

/** Null when even forking failed. */
function startChild(
  command: string,
  args: readonly string[],
  stdio: StdioOptions,
  options: SpawnOptions,
): ChildProcess | null {
  try {
    return nodeSpawn(command, [...args], {
      env: { ...(options.env ?? { PATH: PLAIN_PATH }) },
      stdio,
      detached: options.detached ?? false,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    })
  } catch {
    return null
  }
}

/** What a finished command said. */
export interface CommandResult extends ProcessExit {
  readonly stdout: string
  readonly stderr: string
}

/** Runs a short command to its end and collects its output (at most 1 MiB each). Never throws for a failed command.
 *  `input` is what it reads. */
export async function run(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { readonly input?: string } = {},
): Promise<CommandResult> {
  const { input, ...rest } = options
  const stdin = input === undefined ? (rest.stdin ?? 'ignore') : 'pipe'
  const child = spawn(command, args, { ...rest, stdin, stdout: 'pipe', stderr: 'pipe' })
  if (input !== undefined) {
    child.stdin?.on('error', () => {}) // one that ends early does not read it
    child.stdin?.end(input)
  }
  const [exit, stdout, stderr] = await Promise.all([child.exited, collect(child.stdout), collect(child.stderr)])
  return { ...exit, stdout, stderr }
}

const COLLECT_MAX_BYTES = 1024 ** 2

function collect(stream: Readable | null): Promise<string> {
  if (stream === null) return Promise.resolve('')
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    stream.on('data', (chunk: Buffer) => {
      if (bytes < COLLECT_MAX_BYTES) chunks.push(chunk)
      bytes += chunk.length
    })
    const finish = () => resolve(Buffer.concat(chunks).toString('utf8'))
    stream.once('end', finish)
    stream.once('close', finish)
    stream.once('error', finish)
  })
}
