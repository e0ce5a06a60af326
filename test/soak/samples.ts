// One look at what a platform holds: memory, descriptors, kernel objects, disk. Reads /proc, /sys, its Redis and its state
// directory; changes nothing.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Platform } from '../support/platform.ts'

/** Figures by name, with the unit in it. */
export type Sample = { readonly atS: number } & Readonly<Record<FigureName, number>>

export const FIGURES = [
  'platform MiB',
  'platform fds',
  'platform threads',
  'redis MiB',
  'redis used MiB',
  'sandboxes',
  'sandbox processes',
  'cgroups',
  'mounts',
  'disk MiB: redis',
  'disk MiB: logs',
  'disk MiB: results and bodies',
  'disk MiB: blobs and layers',
  'disk MiB: the rest',
] as const
export type FigureName = (typeof FIGURES)[number]

const MIB = 1024 ** 2

export async function sample(platform: Platform, startedMs: number): Promise<Sample> {
  const { pid, id, stateDir } = platform
  const socket = `/run/thaw/${id}/redis.sock`
  const redis = redisOf(socket, pid)
  const sandboxes = await platform.json<unknown[]>('/v1/sandboxes?limit=1000')
  const disk = diskOf(stateDir)
  const parts = (...names: string[]) => names.reduce((sum, name) => sum + (disk.get(name) ?? 0), 0)
  const known = ['redis', 'logs', 'results', 'bodies', 'blobs', 'layers']
  return {
    atS: (performance.now() - startedMs) / 1000,
    'platform MiB': statusOf(pid, 'VmRSS') / 1024,
    'platform fds': readdirSync(`/proc/${pid}/fd`).length,
    'platform threads': statusOf(pid, 'Threads'),
    'redis MiB': redis.pid === null ? 0 : statusOf(redis.pid, 'VmRSS') / 1024,
    'redis used MiB': redis.usedBytes / MIB,
    sandboxes: sandboxes.length,
    'sandbox processes': processesBelow(`thaw-${id}`),
    cgroups: cgroupsOf(`thaw-${id}`),
    mounts: readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n').length,
    'disk MiB: redis': parts('redis'),
    'disk MiB: logs': parts('logs'),
    'disk MiB: results and bodies': parts('results', 'bodies'),
    'disk MiB: blobs and layers': parts('blobs', 'layers'),
    'disk MiB: the rest': [...disk].reduce((sum, [name, mib]) => sum + (known.includes(name) ? 0 : mib), 0),
  }
}

function statusOf(pid: number, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
}

function redisOf(socket: string, platformPid: number): { pid: number | null; usedBytes: number } {
  try {
    const info = execFileSync('redis-cli', ['-s', socket, 'info'], { encoding: 'utf8', timeout: 5_000 })
    const of = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? Number.NaN)
    return { pid: of('process_id'), usedBytes: of('used_memory') }
  } catch {
    return { pid: childNamed(platformPid, 'redis-server'), usedBytes: 0 }
  }
}

function childNamed(parent: number, name: string): number | null {
  for (const entry of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    const stat = existsSync(`/proc/${entry}/stat`) ? readFileSync(`/proc/${entry}/stat`, 'utf8') : ''
    if (stat.includes(`(${name})`) && stat.split(') ')[1]?.split(' ')[1] === String(parent)) return Number(entry)
  }
  return null
}

const HIERARCHY = '/sys/fs/cgroup/memory'

function cgroupsOf(name: string): number {
  const root = existsSync(HIERARCHY) ? join(HIERARCHY, name) : join('/sys/fs/cgroup', name)
  return existsSync(root) ? readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory()).length : 0
}

function processesBelow(name: string): number {
  const root = existsSync(HIERARCHY) ? join(HIERARCHY, name) : join('/sys/fs/cgroup', name)
  if (!existsSync(root)) return 0
  const count = (path: string) =>
    existsSync(path)
      ? readFileSync(path, 'utf8')
          .split('\n')
          .filter((line) => line !== '').length
      : 0
  const folders = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  return folders.reduce((sum, { name: folder }) => sum + count(join(root, folder, 'cgroup.procs')), 0)
}

/** MiB below each folder of the state directory. */
function diskOf(stateDir: string): Map<string, number> {
  const lines = execFileSync('sh', ['-c', 'du -sk -x ./* 2>/dev/null || true'], { cwd: stateDir, encoding: 'utf8' })
  return new Map(
    lines
      .split('\n')
      .map((line) => /^(\d+)\t\.\/(.+)$/.exec(line))
      .filter((match) => match !== null)
      .map((match) => [match[2]!, Number(match[1]) / 1024]),
  )
}
