// Which cgroup hierarchies this host has and where: v1 controllers, the unified v2 tree, or both (hybrid).
// Reads mountinfo text and one control file; creates nothing.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RuntimeError } from '../errors.ts'

export type CgroupMode = 'v1' | 'hybrid' | 'v2'
export type ControllerName = 'cpu' | 'cpuacct' | 'cpuset' | 'memory' | 'pids' | 'io'

/** Where a controller's control files lie: the root directory of its hierarchy and the interface they speak. */
export interface Place {
  readonly version: 1 | 2
  readonly root: string
}

export interface CgroupTree {
  readonly mode: CgroupMode
  /** Root of the v2 tree, or null. */
  readonly unified: string | null
  /** Root of the v1 freezer hierarchy, or null. */
  readonly freezer: string | null
  /** Roots of every hierarchy a sandbox has a directory in, each once. */
  readonly hierarchies: readonly string[]
  /** A controller is enabled in one hierarchy only; v1 wins because the kernel does not offer it twice. */
  place(controller: ControllerName): Place | null
}

interface CgroupMount {
  readonly point: string
  readonly readOnly: boolean
  readonly version: 1 | 2
  readonly options: readonly string[]
}

/** Reads the hierarchies mounted at or below `root` out of the text of /proc/self/mountinfo (proc(5)).
 *  Throws RuntimeError HOST_UNSUITABLE when there is none, one is read-only, or a needed controller is missing. */
export function findCgroupTree(mountinfo: string, root: string): CgroupTree {
  const mounts = mountinfo.split('\n').flatMap((line) => parseLine(line, root))
  const unified = mounts.find((mount) => mount.version === 2)?.point ?? null
  const v1 = new Map<string, string>()
  for (const mount of mounts) {
    if (mount.version === 2) continue
    for (const option of mount.options) if (!v1.has(option)) v1.set(option, mount.point)
  }
  const v2 = unified === null ? [] : readControllers(unified)
  const hasV1 = ['cpu', 'memory', 'pids'].some((name) => v1.has(name))
  const tree: CgroupTree = {
    mode: unified === null ? 'v1' : hasV1 ? 'hybrid' : 'v2',
    unified,
    freezer: v1.get('freezer') ?? null,
    hierarchies: [...new Set(mounts.map((mount) => mount.point))],
    place(controller) {
      const v1Root = v1.get(controller === 'io' ? 'blkio' : controller)
      if (v1Root !== undefined) return { version: 1, root: v1Root }
      const v2Name = controller === 'cpuacct' ? 'cpu' : controller
      return unified !== null && v2.includes(v2Name) ? { version: 2, root: unified } : null
    },
  }
  requireUsable(tree, mounts, root)
  return tree
}

function parseLine(line: string, root: string): CgroupMount[] {
  const fields = line.split(' ')
  const dash = fields.indexOf('-')
  const type = fields[dash + 1]
  const point = (fields[4] ?? '').replace(/\\(\d{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )
  if (dash < 0 || (type !== 'cgroup' && type !== 'cgroup2')) return []
  if (point !== root && !point.startsWith(`${root}/`)) return []
  const readOnly = (fields[5] ?? '').split(',').includes('ro')
  return [{ point, readOnly, version: type === 'cgroup' ? 1 : 2, options: (fields[dash + 3] ?? '').split(',') }]
}

function readControllers(unified: string): readonly string[] {
  try {
    return readFileSync(join(unified, 'cgroup.controllers'), 'latin1').trim().split(/\s+/)
  } catch (error) {
    throw new RuntimeError('HOST_UNSUITABLE', `cannot read ${unified}/cgroup.controllers`, { cause: error })
  }
}

function requireUsable(tree: CgroupTree, mounts: readonly CgroupMount[], root: string): void {
  if (mounts.length === 0) {
    throw new RuntimeError(
      'HOST_UNSUITABLE',
      `no cgroup file system is mounted at ${root}; mount one: mount -t cgroup2 none ${root}`,
    )
  }
  const missing: string[] = (['cpu', 'memory', 'pids'] as const).filter((name) => tree.place(name) === null)
  if (tree.unified === null && tree.freezer === null) missing.push('freezer')
  if (missing.length > 0) {
    throw new RuntimeError(
      'HOST_UNSUITABLE',
      `cgroup controllers missing: ${missing.join(', ')}; enable them on the kernel command line (cgroup_enable=memory) or, ` +
        'inside a container, run it privileged with the host cgroup namespace',
    )
  }
  const locked = mounts.find((mount) => mount.readOnly)
  if (locked !== undefined) {
    throw new RuntimeError(
      'HOST_UNSUITABLE',
      `${locked.point} is mounted read-only; remount it: mount -o remount,rw ${locked.point} (a container needs --privileged)`,
    )
  }
}
