// A plain Node process inside a cgroup of its own, as an OCI runtime would make one: directories in every hierarchy, then the
// process moved in. For kernel tests of runtime/cgroup/ without an OCI runtime. Owns the process; the cgroup is the test's.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { cgroupRoots } from './leftovers.ts'

/** Makes `/thaw-x/<sandbox>` in every hierarchy, as an OCI runtime does. `path` is `CgroupHost.path(id)`. */
export function makeSandboxCgroup(path: string, roots = cgroupRoots()): void {
  for (const root of roots) {
    const directory = join(root, path)
    mkdirSync(directory, { recursive: true })
    for (const name of ['cpuset.cpus', 'cpuset.mems']) {
      const file = join(directory, name)
      if (!existsSync(file) || readFileSync(file, 'utf8').trim() !== '' || isV2(root)) continue
      writeFileSync(file, readFileSync(join(dirname(directory), name), 'utf8').trim())
    }
  }
}

export interface CgroupChild {
  readonly pid: number
  readonly process: ChildProcess
  /** Resolves to exit code or signal name. */
  readonly ended: Promise<number | string>
  /** Resolves to the next line of its output. */
  line(): Promise<string>
  /** Writes one line to its input. */
  say(text: string): void
}

/** Starts `node -e source`, moves it into the cgroup, and only then lets `source` run; resolves as it begins. */
export async function startInCgroup(path: string, source: string, roots = cgroupRoots()): Promise<CgroupChild> {
  const waiting = `process.stdin.once('data', () => { console.log('begun'); (0, eval)(${JSON.stringify(source)}) }); console.log('ready')`
  const child = spawn(process.execPath, ['-e', waiting], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = lineQueue(child)
  const ended = new Promise<number | string>((resolve) =>
    child.once('exit', (code, signal) => resolve(signal ?? code ?? -1)),
  )
  await lines()
  for (const root of roots) writeFileSync(join(root, path, 'cgroup.procs'), String(child.pid))
  child.stdin?.on('error', () => {})
  child.stdin?.write('go\n')
  await lines()
  return { pid: child.pid!, process: child, ended, line: lines, say: (text) => void child.stdin?.write(`${text}\n`) }
}

function lineQueue(child: ChildProcess): () => Promise<string> {
  const lines: string[] = []
  const waiters: ((line: string) => void)[] = []
  let rest = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n')
    rest = parts.pop() ?? ''
    for (const line of parts) {
      const waiter = waiters.shift()
      if (waiter === undefined) lines.push(line)
      else waiter(line)
    }
  })
  return () => {
    const line = lines.shift()
    return line === undefined ? new Promise((resolve) => waiters.push(resolve)) : Promise.resolve(line)
  }
}

function isV2(root: string): boolean {
  return existsSync(join(root, 'cgroup.controllers'))
}
