// The composition of runtime/: one platform's sandboxes, images and host, from start to close.
// Takes no state lock (the caller does, first) and reads no environment.
import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import type { Clock, HostReport, Logger, Runtime, SandboxWatch } from './api.ts'
import {
  bfqDisks,
  type CgroupHost,
  openCgroupHost,
  type PlatformReserve,
  resolveDisk,
  type SandboxTotals,
  usesBfq,
} from './cgroup/cgroup.ts'
import { DiskPromises } from './host/disk-promises.ts'
import { keepGuard, stopOldGuard } from './host/guard.ts'
import {
  canMakeDisks,
  expectLinuxRoot,
  type HostFacts,
  parseAllowedCpus,
  parseSwapBytes,
  readHostFacts,
} from './host/host-report.ts'
import { keepAlive } from './host/keep-alive.ts'
import { kernelId } from './host/kernel-id.ts'
import { keepSettings } from './host/kernel-settings.ts'
import { RUN_ROOT } from './host/state-id.ts'
import { killCreators, sweepFiles } from './host/sweep.ts'
import { becomeSubreaper } from './host/syscalls.ts'
import { claimUidRanges, type UidRanges } from './host/uid-ranges.ts'
import { createUnwind, type Unwind } from './host/unwind.ts'
import { weightedDisks } from './host/weighted-disk.ts'
import { canRefuseDescriptors } from './host/wire-socket.ts'
import { openZram, sweepZram } from './host/zram.ts'
import { buildBaseLayer, buildBootstrapLayer } from './image/base-layer.ts'
import { openImageStore } from './image/image-store.ts'
import { dropLayersOfEarlierBoot, removeOldLayers } from './image/layer-folders.ts'
import { createLimitCheck } from './limit-check.ts'
import { budgetReport, hardLimitsOfSandbox, neededSettings } from './machine-budgets.ts'
import { parseAllowList } from './network/addresses.ts'
import { sweepNetwork } from './network/network.ts'
import { createNetworks, type HostNetworks } from './network/networks.ts'
import { type HardLimits, parseHardLimits } from './oci/config.ts'
import { openOciRuntime } from './oci/oci-runtime.ts'
import { type SeccompProfile, seccompProfile } from './oci/seccomp.ts'
import {
  makeInnerFolders,
  makeRunFolder,
  type PlatformFolders,
  platformFolders,
  removeInnerFolders,
  removeRunFolder,
} from './platform-folders.ts'
import { trackSandboxes } from './sandbox/live-sandboxes.ts'
import { watchOveruse } from './sandbox/overuse-watch.ts'
import { GroupBudgets } from './sandbox/read-budget.ts'
import { openVolumeStore } from './volumes/volume-store.ts'

export { lockStateDir, type StateLock } from './host/lock.ts'
export { runDirOf, stateId } from './host/state-id.ts'

export interface RuntimeOptions {
  /** Absolute path; the caller holds its lock (`lockStateDir`). */
  readonly stateDir: string
  /** Name or path of the OCI runtime. Default `runc`. */
  readonly ociRuntime?: string
  /** The bundled bootstrap, one CommonJS file. */
  readonly bootstrap: Buffer
  /** Node binary the functions run on. */
  readonly nodeBinary: string
  readonly logger: Logger
  readonly clock: Clock
  /** Highest for all sandboxes together. Default: what the host has. */
  readonly totals?: SandboxTotals
  /** What this process keeps against all sandboxes together. Default: nothing, it stays in its cgroups. */
  readonly reserve?: PlatformReserve
  /** Bytes of compressed swap in memory (zram) for as long as this runtime is open. Default: none. */
  readonly zramBytes?: number
  /** Folders of the host below which volumes may be bound. Default: none. */
  readonly volumeRoots?: readonly string[]
  /** Hosts and networks sandboxes may reach besides public addresses. Default: none. */
  readonly egressAllow?: readonly string[]
  /** Name servers the sandboxes' resolver asks. Default: the host's. */
  readonly nameServers?: readonly string[]
  /** Whether sandboxes may have the host's own network. Default: no. */
  readonly hostNetwork?: boolean
  /** Creations at once. Default: one a core. */
  readonly maxLaunches?: number
  /** Notes sandboxes and whose bytes are handled. Default: no watchdog. */
  readonly watch?: SandboxWatch
  /** Called after each step of a creation; throwing there fails it (tests). */
  readonly afterStep?: (name: string) => void
}

const CGROUP_ROOT = '/sys/fs/cgroup'

/** Checks the host, removes what a killed platform of this state directory left, builds the base layers, starts the guard.
 *  Throws RuntimeError `HOST_UNSUITABLE` with the way out | `DISK_FULL`; then nothing is left of it. */
export async function createRuntime(options: RuntimeOptions): Promise<Runtime> {
  const unwind = createUnwind(options.logger)
  try {
    return await keepAlive(compose(options, unwind))
  } catch (error) {
    await keepAlive(unwind.run())
    throw error
  }
}

// One list on purpose: each step takes what several before it made.
async function compose(options: RuntimeOptions, unwind: Unwind): Promise<Runtime> {
  expectLinuxRoot()
  const { stateDir, nodeBinary, bootstrap, clock, logger } = options
  const platformId = await kernelId(stateDir)
  const folders = platformFolders(stateDir, platformId)
  await stopOldGuard(platformId)
  const [oci, facts] = await Promise.all([
    openOciRuntime({ path: options.ociRuntime ?? 'runc', root: folders.oci, clock }),
    readHostFacts(nodeBinary),
  ])
  const { uids, cgroups } = await claimHost(folders, platformId, options, unwind)
  await sweep(folders, cgroups, logger)
  await sweepNetwork(platformId, folders.network, RUN_ROOT)
  await makeInnerFolders(folders)
  unwind.defer('folders', () => removeInnerFolders(folders))
  const baseLayers = await buildLayers(folders.layers, nodeBinary, bootstrap)
  const promises = new DiskPromises(stateDir)
  const images = await openImageStore(stateDir, () => promises.leftBytes())
  unwind.defer('images', () => images.close())
  const ownLimits = parseHardLimits(readFileSync('/proc/self/limits', 'utf8'))
  const hardLimits = hardLimitsOfSandbox(ownLimits)
  const networks = openNetworks(options, platformId, folders, uids)
  unwind.defer('networks', () => networks.close())
  const limits = limitsOfHost(cgroups, networks, hardLimits)
  const budgets = holdBudgets(options, platformId, cgroups, ownLimits, unwind)
  const volumes = await openVolumeStore({
    promises,
    imagesDir: folders.volumeImages,
    mountsDir: folders.volumes,
    bindRoots: options.volumeRoots ?? [],
  })
  unwind.defer('volumes', () => volumes.close())
  const weighted = weightedDisks(folders.scratch)
  unwind.defer('weighted disk', () => weighted.close())
  const sandboxes = trackSandboxes(
    {
      sandboxesDir: folders.sandboxes,
      scratchDir: folders.scratch,
      volumesDir: folders.mounts,
      volumes,
      networks,
      layersDir: folders.layers,
      weightedDisk: () => weighted.open(),
      promises,
      baseLayers,
      layerFolder: (digest) => images.layerFolder(digest),
      uids,
      cgroups,
      oci,
      seccomp: profileOf(logger),
      hardLimits,
      oomScoreAdj: Number(readFileSync('/proc/self/oom_score_adj', 'utf8')),
      groups: new GroupBudgets(clock),
      clock,
      logger,
      ...(options.watch === undefined ? {} : { watch: options.watch }),
      ...(options.afterStep === undefined ? {} : { afterStep: options.afterStep }),
    },
    options.maxLaunches ?? facts.cores,
  )
  unwind.defer('sandboxes', () => sandboxes.close())
  const overuse = await watchOveruse({ sandboxes: () => sandboxes.all(), clock, logger })
  unwind.defer('watch over what no cgroup counts', () => overuse.close())
  return {
    host: reportOfNow(facts, oci, cgroups, networks, limits.now, budgets),
    images,
    volumes,
    networks,
    create: (spec) => sandboxes.create(spec),
    checkLimits: limits.check,
    hostBytes: (memoryBytes) => cgroups.hostBytes(memoryBytes),
    close: () => keepAlive(unwind.run()),
  }
}

/** ORDER: the guard is taken before all that it would clean up, and given back after it. */
async function claimHost(folders: PlatformFolders, platformId: string, options: RuntimeOptions, unwind: Unwind) {
  const { stateDir, clock, logger, totals, reserve, zramBytes } = options
  makeRunFolder(folders)
  unwind.defer('run folder', () => removeRunFolder(folders))
  const uids = claimUidRanges(platformId)
  unwind.defer('uids', () => uids.close())
  const guard = keepGuard({ platformId, stateDir, uidFile: uids.file, cgroupRoot: CGROUP_ROOT }, clock, logger)
  unwind.defer('guard', () => guard.dismiss())
  becomeSubreaper()
  await sweepZram(folders.run)
  if (zramBytes !== undefined) {
    const zram = await openZram(zramBytes, folders.run)
    unwind.defer('zram', () => zram.close())
  }
  const cgroups = openCgroupHost({
    platformId,
    root: CGROUP_ROOT,
    logger,
    clock,
    ...(totals === undefined ? {} : { totals }),
    ...(reserve === undefined ? {} : { reserve }),
  })
  unwind.defer('cgroups', () => cgroups.close())
  return { uids, cgroups }
}

function openNetworks(
  options: RuntimeOptions,
  platformId: string,
  folders: PlatformFolders,
  uids: UidRanges,
): HostNetworks {
  const { nameServers = [], egressAllow = [], hostNetwork = false, clock, logger } = options
  return createNetworks({
    platformId,
    platform: uids.region,
    platforms: uids.regions,
    folder: folders.network,
    sharedFolder: RUN_ROOT,
    nameServers,
    allow: parseAllowList(egressAllow),
    hostNetwork,
    clock,
    logger,
  })
}

/** Raises what is too low for sandboxes to meet their own limits first; how each budget of the machine is held, now. */
function holdBudgets(
  options: RuntimeOptions,
  platformId: string,
  cgroups: CgroupHost,
  hardLimits: HardLimits,
  unwind: Unwind,
): () => NonNullable<HostReport['budgets']> {
  const { memoryVersion, boundsSockets } = cgroups
  const memoryBytes = options.totals?.memoryBytes ?? totalmem()
  const settings = keepSettings(neededSettings({ memoryBytes, memoryVersion }), RUN_ROOT, platformId)
  unwind.defer('kernel settings', () => settings.release())
  const totalPids = options.totals?.pids ?? null
  return () => budgetReport({ settings, hardLimits, boundsSockets, memoryVersion, totalPids })
}

function profileOf(logger: Logger): SeccompProfile {
  const lingers = canRefuseDescriptors()
  if (!lingers)
    logger.info(
      {},
      'this kernel cannot refuse descriptors (SO_PASSRIGHTS, Linux 6.16): sandboxes may not set SO_LINGER',
    )
  return seccompProfile(process.arch, { lingers })
}

/** What this host can enforce as it is now, and the check of limits that somebody asks for. */
function limitsOfHost(cgroups: CgroupHost, networks: HostNetworks, hardLimits: HardLimits) {
  const now = () => {
    const { bridge } = networks.support()
    return cgroups.support(canMakeDisks(), bridge.enforced ? null : (bridge.fix ?? bridge.how))
  }
  const hostCpus = parseAllowedCpus(readFileSync('/proc/self/status', 'utf8'))
  const parts = { support: now(), supportNow: now, hardLimits, hostCpus, resolveDisk, usesBfq, bfqDisks }
  return { now, check: createLimitCheck(parts) }
}

/** Swap, disks, schedulers and networks come and go while the platform runs: each look at the report is at them. */
function reportOfNow(
  facts: HostFacts,
  { path, version }: HostReport['ociRuntime'],
  cgroups: CgroupHost,
  networks: HostNetworks,
  limitsNow: () => HostReport['limits'],
  budgetsNow: () => NonNullable<HostReport['budgets']>,
): HostReport {
  return {
    ...facts,
    ociRuntime: { path, version },
    cgroupMode: cgroups.mode,
    freezer: cgroups.freezer,
    get swapBytes() {
      return parseSwapBytes(readFileSync('/proc/swaps', 'utf8'))
    },
    get limits() {
      return limitsNow()
    },
    get networks() {
      return networks.support()
    },
    get budgets() {
      return budgetsNow()
    },
  }
}

/** ORDER: creators before cgroups, or they would fill them again; processes before mounts. */
async function sweep(folders: PlatformFolders, cgroups: CgroupHost, logger: Logger): Promise<void> {
  const creators = killCreators(folders.oci)
  const processes = await cgroups.sweep()
  if (creators + processes > 0) logger.info({ creators, processes }, 'killed what an earlier platform left running')
  await sweepFiles({
    ociRoot: folders.oci,
    sandboxesDir: folders.sandboxes,
    mountsDir: folders.mounts,
    scratchDir: folders.scratch,
    logger,
  })
}

/** Layers every sandbox has, lowest first. */
async function buildLayers(layersDir: string, nodeBinary: string, bootstrap: Buffer): Promise<string[]> {
  await dropLayersOfEarlierBoot(layersDir)
  const layers = await Promise.all([
    buildBaseLayer(layersDir, nodeBinary),
    buildBootstrapLayer(layersDir, bootstrap, readFileSync('/proc/stat', 'latin1')),
  ])
  await removeOldLayers(layersDir, layers)
  return layers
}
