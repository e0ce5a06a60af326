// Things a program does to files, sockets and processes, one step each, with the name of what came of it. Inside a sandbox only.
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'

/** What is done, to what, with what. */
export type Step = readonly [deed: string, target: string, with_?: string]

/** What it gives, or nothing for `ok`. */
type Deed = (target: string, argument: string) => unknown

const NOTHING = 'nothing'
const CONNECT_MS = 1500

const DEEDS: Readonly<Record<string, Deed>> = {
  /** `ok`, or `nothing` for a file that is there and empty. */
  read: (path) => (readFileSync(path).length > 0 ? 'ok' : NOTHING),
  /** The text itself. */
  text: (path) => readFileSync(path, 'utf8'),
  write: (path, text) => writeFileSync(path, text),
  append: (path, text) => appendFileSync(path, text),
  list: (path) => (readdirSync(path).length > 0 ? 'ok' : NOTHING),
  names: (path) => readdirSync(path).sort().join(' '),
  target: (path) => readlinkSync(path),
  descriptors: (path) =>
    readdirSync(path)
      .map((name) => targetOf(`${path}/${name}`))
      .join(' '),
  make: (path) => mkdirSync(path),
  symlink: (path, to) => symlinkSync(to, path),
  link: (path, to) => linkSync(to, path),
  'set-ids': (from) => setIdFiles(from).join(' '),
  signal: (pid, signal) => process.kill(Number(pid), signal),
  run: (program, text) => {
    const child = spawnSync(program, text === '' ? [] : text.split(' '), { timeout: 5000 })
    const code = (child.error as NodeJS.ErrnoException | undefined)?.code
    return code ?? child.signal ?? `exit ${child.status}`
  },
  /** A path, or a name that begins with @ for an abstract socket; or host:port. */
  connect: (target) => {
    const [, host, port] = /^(.+):(\d+)$/.exec(target) ?? []
    const path = target.startsWith('@') ? `\0${target.slice(1)}` : target
    const socket = host === undefined ? connect({ path }) : connect({ host, port: Number(port) })
    return new Promise((resolve) => {
      const finish = (what: string) => {
        socket.destroy()
        resolve(what)
      }
      socket.once('connect', () => finish('ok'))
      socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? String(error)))
      socket.setTimeout(CONNECT_MS, () => finish('no answer'))
    })
  },
  fetch: async (url) => {
    const response = await fetch(url, { signal: AbortSignal.timeout(CONNECT_MS) })
    return `status ${response.status}`
  },
}

/** Takes every step; an error's code, or that of its cause, is its outcome. */
export async function takeSteps(steps: readonly Step[]): Promise<string[]> {
  const outcomes: string[] = []
  for (const [deed, target, argument = ''] of steps) {
    try {
      const gives = await DEEDS[deed]!(target, argument)
      outcomes.push(typeof gives === 'string' ? gives : 'ok')
    } catch (error) {
      const { code, cause } = error as NodeJS.ErrnoException & { cause?: NodeJS.ErrnoException }
      outcomes.push(code ?? cause?.code ?? String(error))
    }
  }
  return outcomes
}

/** Programs below a folder that run as their owner or group. */
function setIdFiles(folder: string): string[] {
  return readdirSync(folder === '' ? '/' : folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return ['/proc', '/tmp'].includes(path) ? [] : setIdFiles(path)
    return entry.isFile() && (lstatSync(path).mode & 0o6000) !== 0 ? [path] : []
  })
}

/** Where a descriptor leads; that of the listing itself has gone by now. */
function targetOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return 'gone'
  }
}
