// Looks from the host whether anything came out of a sandbox: a canary (file, process, listeners) and the kernel's settings,
// taken before and compared after every attack. Owns the canary.
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn } from '../../runtime/host/spawn.ts'
import type { Platform } from '../support/platform.ts'
import { processesOf } from '../support/platform-leftovers.ts'
import { until } from '../support/until.ts'
import type { Target } from './file-attacks.ts'

export interface HostWatch {
  /** What attacks may name of the host. */
  readonly targets: Readonly<Record<Target, string>>
  /** Throws an Error that says what an attack has changed on the host, if anything. */
  check(): void
  close(): Promise<void>
}

const SETTINGS = [
  ...['core_pattern', 'modprobe', 'hostname', 'domainname', 'poweroff_cmd', 'sysrq', 'panic', 'tainted'].map(
    (name) => `/proc/sys/kernel/${name}`,
  ),
  ...['/proc/sys/vm/overcommit_memory', '/proc/sys/fs/suid_dumpable'],
  ...['/proc/sys/user/max_user_namespaces', '/proc/self/cgroup'],
]
const NAMESPACES = ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup']

/** Puts the canary up beside the platform. */
export async function watchHost(platform: Platform): Promise<HostWatch> {
  const folder = mkdtempSync(join(tmpdir(), 'thaw-canary-'))
  chmodSync(folder, 0o755)
  const file = join(folder, 'secret')
  writeFileSync(file, 'of the host\n', { mode: 0o644 })
  const child = spawn('/bin/sleep', ['1000'], { env: { CANARY: 'sings' } })
  await until('the canary sings', () => read(`/proc/${child.pid}/environ`).includes('CANARY'))
  const abstract = `thaw-canary-${child.pid}`
  const visits: string[] = []
  const servers = await Promise.all([
    listen(`\0${abstract}`, () => visits.push('abstract socket')),
    listen(join(folder, 'socket'), () => visits.push('socket')),
  ])
  const facts = () => [
    ...SETTINGS.map((path) => `${path}: ${read(path)}`),
    `${file}: ${read(file)} ${statSync(file).mtimeMs} ${statSync(file).uid}`,
    `canary process: ${read(`/proc/${child.pid}/environ`)} ${/^State:\t[ZX]/m.test(read(`/proc/${child.pid}/status`))}`,
    `host name: ${hostname()}`,
    `core dumps: ${readdirSync(folder)}`,
    `visits: ${visits}`,
    ...strangers(platform),
  ]
  const before = facts()
  return {
    targets: {
      secret: file,
      token: join(platform.stateDir, 'token'),
      state: platform.stateDir,
      port: String(platform.port),
      abstract,
      socket: join(folder, 'socket'),
      pid: String(child.pid),
    },
    check() {
      const changed = facts().filter((fact) => !before.includes(fact))
      if (changed.length > 0) throw new Error(`the host was changed:\n  ${changed.join('\n  ')}`)
    },
    async close() {
      child.kill('SIGKILL')
      await child.exited
      for (const server of servers) server.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Processes of sandboxes that are where they should not be: root on the host, capable, or in a namespace of the host's. */
function strangers(platform: Platform): string[] {
  return processesOf(platform.id, platform.stateDir)
    .filter((pid) => read(`/proc/${pid}/cgroup`).includes(`/thaw-${platform.id}/`))
    .flatMap((pid) => {
      const status = read(`/proc/${pid}/status`)
      // Still runc's, or gone again: not a program of the function's yet, or not any more.
      if (!/^Seccomp:\t2$/m.test(status)) return []
      const faults = [
        ...(/^Uid:\t(?!0\t)/m.test(status) ? [] : ['runs as root']),
        ...(/^Cap(Prm|Eff|Bnd|Amb):\t0*[1-9a-f]/m.test(status) ? ['has capabilities'] : []),
        ...NAMESPACES.filter((name) => sameNamespace(pid, name)).map((name) => `is in the host's ${name} namespace`),
      ]
      return faults.map((fault) => `process ${pid} of a sandbox ${fault}`)
    })
}

function sameNamespace(pid: number, name: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/${name}`) === readlinkSync(`/proc/self/ns/${name}`)
  } catch {
    return false
  }
}

function listen(path: string, visited: () => void): Promise<Server> {
  const server = createServer((socket) => {
    visited()
    socket.destroy()
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(path, () => resolve(server))
  })
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unreadable'
  }
}
