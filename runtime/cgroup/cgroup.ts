// The border of runtime/cgroup/: limits, metering and the freezer of sandboxes on whatever cgroups this host has.
// Everything on the call path is a synchronous read or write of a descriptor opened at `attach`.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock, LimitOutcome, LimitSupport, Logger, Metering, Reclaimed } from '../api.ts'
import { RuntimeError } from '../errors.ts'
import type { LimitName, Limits } from '../limits/limits.ts'
import { enterReserve, limitSandboxes, type PlatformReserve, type SandboxTotals } from './capacity.ts'
import { ControlFile, createReadBuffer } from './control-file.ts'
import { backingDisk, resolveDisk } from './devices.ts'
import { type CgroupFeatures, findFeatures, makeParents, refreshFeatures } from './features.ts'
import { removeDirectory } from './kill.ts'
import { type OciResources, ociResources } from './oci-resources.ts'
import { AttachedCgroup } from './sandbox-cgroup.ts'
import { SandboxDirectory } from './sandbox-directory.ts'
import { openSocketMemory } from './socket-memory.ts'
import { describeSupport } from './support.ts'
import { watchSwap } from './swap-presence.ts'
import { sweepParent } from './sweep.ts'
import { type CgroupMode, findCgroupTree } from './tree.ts'

export type { PlatformReserve, SandboxTotals } from './capacity.ts'
export { bfqDisks, resolveDisk, usesBfq } from './devices.ts'
export type { OciResources } from './oci-resources.ts'
export type { CgroupMode } from './tree.ts'

/** The cgroups of one platform on this host: a parent `/thaw-<platformId>` in every hierarchy, one child a sandbox. */
export interface CgroupHost {
  readonly mode: CgroupMode
  /** Which freezer is used, for the doctor. */
  readonly freezer: string
  /** What enforces each limit here, or why nothing does and what would turn it on. */
  support(scratchAvailable: boolean, missingForNetwork?: string | null): Record<LimitName, LimitSupport>
  /** `cgroupsPath` of the OCI configuration: `/thaw-<platformId>/<sandboxId>`. */
  path(sandboxId: string): string
  /** The sandbox's directory in every hierarchy, existing or not. */
  directories(sandboxId: string): string[]
  /** `linux.resources` of the OCI configuration. The CPU quota is not in it: it comes after load. */
  ociResources(limits: Limits): OciResources
  /** What a sandbox with this memory limit may take of the host in all: on cgroup v1 socket buffers come on top of the limit. */
  hostBytes(memoryBytes: number): number
  /** Whether socket buffers are bounded here, and charged to the sandbox. */
  readonly boundsSockets: boolean
  /** Of the memory interface. */
  readonly memoryVersion: 1 | 2
  /** Makes what must be there before the first process. Throws the system error. */
  prepare(sandboxId: string, limits: Limits): void
  /** Takes back what `prepare` made, where the cgroup was never attached. Nothing to do afterwards. */
  forget(sandboxId: string): void
  /** Opens the control files of a cgroup the OCI runtime has made and writes all limits but the quota. `scratchDevice` is
   *  the `maj:min` of the sandbox's scratch disk, or null. Throws RuntimeError CREATE_FAILED | LIMIT_WRITE | LIMIT_UNSUPPORTED. */
  attach(sandboxId: string, limits: Limits, scratchDevice: string | null): SandboxCgroup
  /** Kills and removes everything below this platform's parents; bounded wait. Resolves to the number of processes killed. */
  sweep(): Promise<number>
  /** Removes the parents where they are empty, and takes this process back to where it was. */
  close(): Promise<void>
}

/** The cgroup of one sandbox. Its owner calls `kill`, `waitEmpty`, `remove` at the end, in this order. */
export interface SandboxCgroup {
  /** From now on the quota of `cpus` holds (call it after load), and CPU used until the first call is idle CPU. */
  enforceQuota(): void
  /** Writes what differs from what is in force. Never kills by lowering: a limit below what is in use is refused and
   *  then nothing has changed. Throws RuntimeError LIMIT_WRITE | LIMIT_UNSUPPORTED. */
  applyLimits(next: Limits): LimitOutcome
  /** Paired with `endMetering`; pairs may overlap, and then share their figures. `atOnce`: called in the same turn of the event
   *  loop as the last `endMetering`, whose reading then does for this one too. */
  beginMetering(atOnce?: boolean): void
  /** Growth since the first open `beginMetering`. `tasksPeak` is the highest since the sandbox began. */
  endMetering(exact: boolean): Metering
  /** Closes a pair among others without reading: what grew is told with the next `endMetering`. */
  leaveMetering(): void
  /** µs until the kernel confirmed (0: was frozen already), or null when a thaw came first.
   *  Rejects RuntimeError FREEZE_FAILED, with the sandbox thawed again. */
  freeze(): Promise<number | null>
  /** Lets it run again and returns at once: µs taken by the write, 0 when not frozen. Never throws. */
  thaw(): number
  readonly frozen: boolean
  /** Has the kernel take back what a frozen sandbox holds in memory, in the background; null when it is not frozen or goes. */
  reclaim(): Promise<Reclaimed | null>
  /** CPU used since the beginning, µs. After `remove` the last known. */
  cpuUs(): number
  /** Memory in use, page cache and socket buffers included. After `remove` 0. */
  memoryBytes(): number
  /** Highest memory use since the last `beginMetering`. After `remove` 0. */
  memoryPeakBytes(): number
  /** Processes the kernel killed at the memory limit. After `remove` the last known. */
  oomKills(): number
  /** The same as `endMetering` read it last; 0 before the first. Reads nothing. */
  readonly oomKillsMetered: number
  /** The host's pids of all processes inside. After `remove` none. */
  pids(): number[]
  /** SIGKILL to all inside, frozen or not. */
  kill(): void
  /** True when no task is left, false when some are after `timeoutMs`. Goes on killing after `kill`. */
  waitEmpty(timeoutMs: number): Promise<boolean>
  /** Closes the control files and removes the directories; already gone is fine. Rejects RuntimeError CREATE_FAILED when
   *  the kernel does not let go within 2 s. */
  remove(): Promise<void>
}

export interface CgroupHostOptions {
  readonly platformId: string
  /** Only hierarchies mounted here or below count. Default /sys/fs/cgroup. */
  readonly root?: string
  /** Text of /proc/self/mountinfo; read when not given. */
  readonly mountinfo?: string
  /** Where sysfs is mounted. Default /sys. */
  readonly sysfs?: string
  /** Text of /proc/swaps; read when not given. */
  readonly swaps?: string
  /** Highest for all sandboxes together; default: the host's own. */
  readonly totals?: SandboxTotals
  /** Takes this process into a cgroup of its own until `close`; default: it stays where it is. */
  readonly reserve?: PlatformReserve
  readonly logger: Logger
  readonly clock: Clock
}

/** Finds the hierarchies and makes the platform's parent in each.
 *  Throws RuntimeError HOST_UNSUITABLE with the way out. */
export function openCgroupHost(options: CgroupHostOptions): CgroupHost {
  const { platformId, logger, clock, sysfs = '/sys' } = options
  if (!/^[A-Za-z0-9_-]+$/.test(platformId))
    throw new RangeError(`platform id is no file name: ${JSON.stringify(platformId)}`)
  const tree = findCgroupTree(
    options.mountinfo ?? readFileSync('/proc/self/mountinfo', 'utf8'),
    options.root ?? '/sys/fs/cgroup',
  )
  const parent = `thaw-${platformId}`
  makeParents(tree, parent)
  if (options.totals !== undefined) limitSandboxes(tree, parent, options.totals)
  const sockets = openSocketMemory(tree, parent)
  const sources = () => ({ sysfs, swaps: options.swaps ?? readFileSync('/proc/swaps', 'utf8') })
  const features = findFeatures(tree, parent, sources())
  const reserve =
    options.reserve === undefined ? null : enterReserve(tree, `${parent}-platform`, options.reserve, options)
  const buffer = createReadBuffer()
  const { swaps } = options
  const swapsFile = new ControlFile('/proc/swaps', 'read', buffer)
  const hasSwap = watchSwap(swaps === undefined ? swapsFile : { readText: () => swaps }, clock)
  logger.debug({ mode: tree.mode, features }, 'cgroups opened')
  return {
    mode: tree.mode,
    freezer: describeFreezer(features),
    support: (scratchAvailable, missingForNetwork = null) =>
      describeSupport({
        mode: tree.mode,
        features: refreshFeatures(features, sources()),
        memoryVersion: tree.place('memory')?.version ?? 2,
        ioVersion: tree.place('io')?.version ?? null,
        scratchAvailable,
        missingForNetwork,
      }),
    path: (sandboxId) => `/${parent}/${sandboxId}`,
    directories: (sandboxId) => tree.hierarchies.map((root) => join(root, parent, sandboxId)),
    hostBytes: (memoryBytes) => memoryBytes + sockets.beside(memoryBytes),
    boundsSockets: sockets.enforced,
    memoryVersion: tree.place('memory')?.version ?? 2,
    prepare: (sandboxId, limits) => sockets.prepare(`/${parent}/${sandboxId}`, limits.memory),
    forget: (sandboxId) => sockets.forget(`/${parent}/${sandboxId}`),
    ociResources: (limits) => ociResources(limits, features.swapAccounting),
    attach(sandboxId, limits, scratchDevice) {
      const directory = new SandboxDirectory(tree, `/${parent}/${sandboxId}`, buffer)
      try {
        return new AttachedCgroup(directory, limits, {
          clock,
          hasSwap,
          sockets,
          scratchDisk: scratchDevice,
          backingDisk: scratchDevice === null ? null : backingDisk(scratchDevice, sysfs),
          resolveDisk: (path) => resolveDisk(path, sysfs),
        })
      } catch (error) {
        if (error instanceof RuntimeError) throw error
        throw new RuntimeError('CREATE_FAILED', `cgroup ${directory.path}: ${(error as Error).message}`, {
          cause: error,
        })
      }
    },
    sweep: () => sweepParent(tree, parent, clock, logger),
    async close() {
      swapsFile.close()
      await reserve?.leave()
      for (const root of tree.hierarchies) removeDirectory(join(root, parent))
    },
  }
}

function describeFreezer(features: CgroupFeatures): string {
  return features.freezer === 'cgroup.freeze' ? 'cgroup.freeze (v2)' : 'freezer.state (v1)'
}
