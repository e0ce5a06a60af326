// What this host's cgroups can do, found by looking at the control files of the platform's own parent cgroup.
// Makes that parent (which proves the permission to); the host removes it.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RuntimeError } from '../errors.ts'
import { bfqDisks, offersBfq } from './devices.ts'
import type { CgroupTree, ControllerName } from './tree.ts'

export interface CgroupFeatures {
  readonly cpuset: boolean
  readonly quota: boolean
  /** Swap is accounted for. */
  readonly swapAccounting: boolean
  readonly swappiness: boolean
  readonly reservation: boolean
  readonly ioRates: boolean
  /** The kernel has I/O weights at all. */
  readonly ioWeight: boolean
  /** Disks in use on which I/O weights work. */
  readonly bfqDisks: readonly string[]
  /** A disk of the platform's own can be put under bfq. */
  readonly bfqOffered: boolean
  readonly swapOnHost: boolean
  readonly freezer: 'cgroup.freeze' | 'freezer.state'
}

export interface FeatureSources {
  readonly sysfs: string
  /** Text of /proc/swaps. */
  readonly swaps: string
}

const NAMES: Record<ControllerName, readonly [v1: string, v2: string]> = {
  cpu: ['cpu', 'cpu'],
  cpuacct: ['cpuacct', 'cpu'],
  cpuset: ['cpuset', 'cpuset'],
  memory: ['memory', 'memory'],
  pids: ['pids', 'pids'],
  io: ['blkio', 'io'],
}

/** Makes the parent cgroup in every hierarchy. Existing ones are fine. Throws RuntimeError HOST_UNSUITABLE. */
export function makeParents(tree: CgroupTree, parent: string): void {
  for (const root of tree.hierarchies) {
    if (root === tree.unified) enableControllers(tree, root)
    const directory = join(root, parent)
    try {
      mkdirSync(directory, { recursive: true })
    } catch (error) {
      throw new RuntimeError('HOST_UNSUITABLE', `cannot make the cgroup ${directory}; run as root`, { cause: error })
    }
    if (root === tree.unified) enableControllers(tree, directory)
  }
  const cpuset = tree.place('cpuset')
  if (cpuset?.version === 1) inheritCpuset(cpuset.root, join(cpuset.root, parent))
}

/** Children of a v2 cgroup have only the controllers it hands on. One that cannot be handed on is then found missing. */
function enableControllers(tree: CgroupTree, directory: string): void {
  for (const [controller, [, name]] of Object.entries(NAMES)) {
    if (controller === 'cpuacct' || tree.place(controller as ControllerName)?.version !== 2) continue
    try {
      writeFileSync(join(directory, 'cgroup.subtree_control'), `+${name}`)
    } catch (error) {
      if (controller === 'io' || controller === 'cpuset') continue
      throw new RuntimeError(
        'HOST_UNSUITABLE',
        `cannot enable the ${name} controller in ${directory}; run as root on the host`,
        {
          cause: error,
        },
      )
    }
  }
}

/** A new v1 cpuset is empty, and no task can enter it so. */
function inheritCpuset(root: string, directory: string): void {
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    const own = join(directory, name)
    if (!existsSync(own) || readFileSync(own, 'latin1').trim() !== '') continue
    writeFileSync(own, readFileSync(join(root, name), 'latin1').trim())
  }
}

/** What of the features can change while the platform runs. `swaps`: text of /proc/swaps. */
export function refreshFeatures(features: CgroupFeatures, sources: FeatureSources): CgroupFeatures {
  return {
    ...features,
    bfqDisks: bfqDisks(sources.sysfs),
    bfqOffered: offersBfq(sources.sysfs),
    swapOnHost: isSwapOn(sources.swaps),
  }
}

function isSwapOn(swaps: string): boolean {
  return swaps.trim().split('\n').length > 1
}

/** Looks at the control files of `parent`, which must exist. */
export function findFeatures(tree: CgroupTree, parent: string, sources: FeatureSources): CgroupFeatures {
  const has = (controller: ControllerName, v1: string | null, v2: string | null): boolean => {
    const place = tree.place(controller)
    const file = place?.version === 1 ? v1 : v2
    return place != null && file !== null && existsSync(join(place.root, parent, file))
  }
  return {
    cpuset: has('cpuset', 'cpuset.cpus', 'cpuset.cpus'),
    quota: has('cpu', 'cpu.cfs_quota_us', 'cpu.max'),
    swapAccounting: has('memory', 'memory.memsw.limit_in_bytes', 'memory.swap.max'),
    swappiness: has('memory', 'memory.swappiness', null),
    reservation: has('memory', 'memory.soft_limit_in_bytes', 'memory.low'),
    ioRates: has('io', 'blkio.throttle.read_bps_device', 'io.max'),
    ioWeight: has('io', 'blkio.bfq.weight', 'io.bfq.weight'),
    bfqDisks: bfqDisks(sources.sysfs),
    bfqOffered: offersBfq(sources.sysfs),
    swapOnHost: isSwapOn(sources.swaps),
    freezer:
      tree.unified !== null && existsSync(join(tree.unified, parent, 'cgroup.freeze'))
        ? 'cgroup.freeze'
        : 'freezer.state',
  }
}
