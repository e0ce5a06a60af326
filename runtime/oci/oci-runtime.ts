// The OCI runtime (runc by default): starts a container from a bundle, deletes a dead one. Nothing of it is on a call's
// path. Its errors become RuntimeError CREATE_FAILED with what it said. Killing is the cgroup's business, never its.
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../api.ts'
import { RuntimeError } from '../errors.ts'
import { PLAIN_PATH, run, type SpawnedProcess, spawn } from '../host/spawn.ts'
import { WireSocket } from '../host/wire-socket.ts'

/** A started container. The caller owns the streams. */
export interface Container {
  /** Host pid of the process inside. */
  readonly pid: number
  /** Our end of the socket the process has as fd 3. */
  readonly socket: WireSocket
  readonly stdout: Readable
  readonly stderr: Readable
  /** Of the three. */
  readonly descriptors: readonly number[]
}

export interface OciRuntime {
  readonly path: string
  readonly version: string
  /** Creates and starts the container of `bundleDir` (which holds config.json). Throws RuntimeError `CREATE_FAILED`. */
  run(id: string, bundleDir: string): Promise<Container>
  /** Removes what the runtime keeps of a container whose processes are dead; already gone is fine. */
  delete(id: string): Promise<void>
  /** The same where the cgroups are gone, too: of runc only a folder is left then, and no process is needed to remove it. */
  forget(id: string): Promise<void>
}

export interface OciRuntimeOptions {
  readonly path: string
  /** Where the runtime keeps its state; of this platform alone. */
  readonly root: string
  readonly clock: Clock
}

/** What is read from a sandbox at once; one buffer for all. */
const WIRE_BUFFER_BYTES = 64 * 1024
const RUN_TIMEOUT_MS = 15_000
const DELETE_ATTEMPTS = 5

/** Asks the runtime for its version. Throws RuntimeError `HOST_UNSUITABLE` when it is not there or does not answer. */
export async function openOciRuntime(options: OciRuntimeOptions): Promise<OciRuntime> {
  const version = await readVersion(options.path)
  const wireBuffer = Buffer.allocUnsafeSlow(WIRE_BUFFER_BYTES)
  return {
    path: options.path,
    version,
    run: (id, bundleDir) => runContainer(options, wireBuffer, id, bundleDir),
    delete: (id) => deleteContainer(options, id),
    // What other runtimes keep, and where, they know themselves.
    forget: (id) => (version.startsWith('runc ') ? removeState(options, id) : deleteContainer(options, id)),
  }
}

async function readVersion(path: string): Promise<string> {
  const wayOut = 'install it (apt-get install runc) or name another one (FN_OCI_RUNTIME)'
  try {
    const result = await run(path, ['--version'])
    const [line] = result.stdout.split('\n')
    if (result.code === 0 && line !== undefined && line !== '') return line.replace(/^(\S+) version /, '$1 ')
  } catch (error) {
    throw new RuntimeError('HOST_UNSUITABLE', `no OCI runtime at ${path}; ${wayOut}`, { cause: error })
  }
  throw new RuntimeError('HOST_UNSUITABLE', `${path} --version failed; ${wayOut}`)
}

/** One word, so that a process of ours is recognised by its command line. */
function rootFlag(root: string): string {
  return `--root=${root}`
}

async function runContainer(
  options: OciRuntimeOptions,
  wireBuffer: Buffer,
  id: string,
  bundleDir: string,
): Promise<Container> {
  const pidFile = join(bundleDir, 'pid')
  const flags = [rootFlag(options.root), `--log=${join(bundleDir, 'log')}`]
  const child = start(options.path, wireBuffer, [
    ...flags,
    ...['run', '--detach', '--preserve-fds', '1', '--pid-file', pidFile, '--bundle', bundleDir, id],
  ])
  const { socket, stdout, stderr } = child
  if (!(socket instanceof WireSocket) || stdout === null || stderr === null)
    throw new Error('the OCI runtime was started without pipes')
  const streams = [socket, stdout, stderr]
  // A peer that is gone shows as the end of the socket; a write to it must not throw.
  for (const stream of streams) stream.on('error', () => {})
  const cancel = options.clock.after(RUN_TIMEOUT_MS, () => child.kill('SIGKILL'))
  const exit = await child.exited
  cancel()
  if (exit.code !== 0) {
    const words = await readRest(stderr)
    for (const stream of streams) stream.destroy()
    const how = exit.signal === null ? `exit ${exit.code}` : `killed by ${exit.signal}`
    throw new RuntimeError('CREATE_FAILED', `${options.path} run: ${how}: ${words === '' ? 'no message' : words}`)
  }
  return { pid: Number(await readFile(pidFile, 'utf8')), socket, stdout, stderr, descriptors: child.descriptors }
}

/** The runtime's own, and not the container's. One thread for its Go code: it has nothing to do side by side, its threads only
 *  take each other's core where cores are few (median of a start on a busy machine 105 → 81 and 87 → 68 ms, trees in turn). */
const ENVIRONMENT = Object.freeze({ PATH: PLAIN_PATH, GOMAXPROCS: '1' })

function start(path: string, wireBuffer: Buffer, args: readonly string[]): SpawnedProcess {
  try {
    return spawn(path, args, { wireBuffer, env: ENVIRONMENT })
  } catch (error) {
    throw new RuntimeError('CREATE_FAILED', (error as Error).message, { cause: error })
  }
}

const SAID_MAX_CHARS = 2000

/** What is left in a stream whose writers are dead or dying; does not wait for those that are not. */
async function readRest(stream: Readable): Promise<string> {
  const chunks: string[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk.toString('utf8')))
  await Promise.race([new Promise((resolve) => stream.once('end', resolve)), sleep(200)])
  return said(chunks.join(''))
}

/** The last words of `text`. Of a crash in Go, which ends in the stacks of all its threads, those before them. */
function said(text: string): string {
  const [words] = text.split(/^(?:runtime stack|goroutine \d+)\b.*:$/m, 1)
  return (words ?? '').trim().slice(-SAID_MAX_CHARS)
}

async function deleteContainer(options: OciRuntimeOptions, id: string): Promise<void> {
  for (let attempt = 1; attempt <= DELETE_ATTEMPTS; attempt++) {
    const result = await run(options.path, [rootFlag(options.root), 'delete', id])
    if (result.code === 0 || result.stderr.includes('does not exist')) return
    // The kernel may still be reaping: the runtime then calls the container "not stopped".
    await sleep(10 * attempt)
  }
  // Its cgroups are removed by their owner; what remains is this folder.
  await removeState(options, id)
}

async function removeState({ root }: OciRuntimeOptions, id: string): Promise<void> {
  await rm(join(root, id), { recursive: true, force: true })
}
