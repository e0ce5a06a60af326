// The composition of runtime/: one platform's sandboxes, images and host, from start to close.
// Takes no state lock (the caller does, first) and reads no environment.
import { chmodSync, existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Clock, HostReport, Logger, Runtime, Sandbox, SandboxSpec } from './api.ts'
import { type CgroupHost, openCgroupHost, resolveDisk } from './cgroup/cgroup.ts'
import { RuntimeError } from './errors.ts'
import { makeFolder } from './host/durable-file.ts'
import { type Guard, startGuard, stopOldGuard } from './host/guard.ts'
import { expectLinuxRoot, readHostFacts } from './host/host-report.ts'
import { keepAlive } from './host/keep-alive.ts'
import { runDirOf, stateId } from './host/state-id.ts'
import { killCreators, sweepFiles } from './host/sweep.ts'
import { becomeSubreaper } from './host/syscalls.ts'
import { claimUidRanges } from './host/uid-ranges.ts'
import { buildBaseLayer, buildBootstrapLayer, removeOldLayers } from './image/base-layer.ts'
import { openImageStore } from './image/image-store.ts'
import { createLimitCheck } from './limit-check.ts'
import { parseHardLimits } from './oci/config.ts'
import { openOciRuntime } from './oci/oci-runtime.ts'
import { seccompProfile } from './oci/seccomp.ts'
import { createSandbox, type SandboxHost } from './sandbox/create.ts'
import { limitLaunches } from './sandbox/launches.ts'

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
  /** Creations at once. Default: one a core. */
  readonly maxLaunches?: number
  /** Called after each step of a creation; throwing there fails it (tests). */
  readonly afterStep?: (name: string) => void
}

const CGROUP_ROOT = '/sys/fs/cgroup'
const GUARD_RESTART_MS = 1000

/** Checks the host, removes what a killed platform of this state directory left, builds the base layers, starts the guard.
 *  Throws RuntimeError `HOST_UNSUITABLE` with the way out | `DISK_FULL`. */
export async function createRuntime(options: RuntimeOptions): Promise<Runtime> {
  expectLinuxRoot()
  const { stateDir, clock, logger } = options
  const platformId = await stateId(stateDir)
  const folders = foldersOf(stateDir, platformId)
  await stopOldGuard(platformId)
  const [oci, facts] = await Promise.all([
    openOciRuntime({ path: options.ociRuntime ?? 'runc', root: folders.oci, clock }),
    readHostFacts(options.nodeBinary),
  ])
  const cgroups = openCgroupHost({ platformId, root: CGROUP_ROOT, logger, clock })
  await sweep(folders, cgroups, logger)
  await makeFolders(folders)
  const uids = claimUidRanges(platformId)
  const guard = keepGuard({ platformId, stateDir, uidFile: uids.file, clock, logger })
  becomeSubreaper()
  const [base, bootstrap] = await Promise.all([
    buildBaseLayer(folders.layers, options.nodeBinary),
    buildBootstrapLayer(folders.layers, options.bootstrap),
  ])
  await removeOldLayers(folders.layers, [base, bootstrap])
  const images = await openImageStore(stateDir)
  const scratchAvailable = existsSync('/dev/loop-control') && existsSync('/usr/sbin/mkfs.ext4')
  const hardLimits = parseHardLimits(readFileSync('/proc/self/limits', 'utf8'))
  const limits = cgroups.support(scratchAvailable)
  const report: HostReport = {
    ...facts,
    cgroupMode: cgroups.mode,
    ociRuntime: { path: oci.path, version: oci.version },
    freezer: cgroups.freezer,
    limits,
  }
  const host: SandboxHost = {
    sandboxesDir: folders.sandboxes,
    scratchDir: folders.scratch,
    baseLayers: [base, bootstrap],
    layerFolder: (digest) => images.layerFolder(digest),
    uids,
    cgroups,
    oci,
    seccomp: seccompProfile(process.arch),
    hardLimits,
    oomScoreAdj: Number(readFileSync('/proc/self/oom_score_adj', 'utf8')),
    clock,
    logger,
    ...(options.afterStep === undefined ? {} : { afterStep: options.afterStep }),
  }
  const sandboxes = createSandboxes(host, options.maxLaunches ?? facts.cores)
  /** ORDER: the guard last of all that could fail: it cleans up if we are killed in the middle. */
  const closeAll = async () => {
    await sandboxes.close()
    await images.close()
    await cgroups.close()
    uids.close()
    await guard.dismiss()
    await removeFolders(folders)
  }
  return {
    host: report,
    images,
    create: (spec) => sandboxes.create(spec),
    checkLimits: createLimitCheck({ support: limits, hardLimits, resolveDisk }),
    close: () => keepAlive(closeAll()),
  }
}

interface Folders {
  readonly run: string
  readonly oci: string
  readonly sandboxes: string
  readonly scratch: string
  readonly layers: string
}

function foldersOf(stateDir: string, platformId: string): Folders {
  const run = runDirOf(platformId)
  return {
    run,
    oci: join(run, 'oci'),
    sandboxes: join(run, 'sandboxes'),
    scratch: join(stateDir, 'scratch'),
    layers: join(stateDir, 'layers'),
  }
}

/** ORDER: creators before cgroups, or they would fill them again; processes before mounts. */
async function sweep(folders: Folders, cgroups: CgroupHost, logger: Logger): Promise<void> {
  const creators = killCreators(folders.oci)
  const processes = await cgroups.sweep()
  if (creators + processes > 0) logger.info({ creators, processes }, 'killed what an earlier platform left running')
  await sweepFiles({ ociRoot: folders.oci, sandboxesDir: folders.sandboxes, scratchDir: folders.scratch, logger })
}

/** The way to a sandbox's root must be open to its own users: 0711 all along. */
async function makeFolders(folders: Folders): Promise<void> {
  for (const path of [dirname(folders.run), folders.run, folders.sandboxes]) {
    mkdirSync(path, { recursive: true })
    chmodSync(path, 0o711)
  }
  await makeFolder(folders.oci, 0o700)
  await makeFolder(folders.scratch, 0o700)
  await makeFolder(folders.layers, 0o700)
}

async function removeFolders(folders: Folders): Promise<void> {
  for (const path of [folders.oci, folders.sandboxes, folders.scratch]) await rm(path, { recursive: true, force: true })
  for (const path of [folders.run, join(dirname(folders.run), 'uids'), dirname(folders.run)]) removeEmpty(path)
}

/** Others (the queue's socket, other platforms) may still have something there. */
function removeEmpty(path: string): void {
  try {
    rmdirSync(path)
  } catch {
    // not empty, or gone
  }
}

interface GuardOptions {
  readonly platformId: string
  readonly stateDir: string
  readonly uidFile: string
  readonly clock: Clock
  readonly logger: Logger
}

/** Starts the guard, and another one whenever somebody ends it. */
function keepGuard(options: GuardOptions): Pick<Guard, 'dismiss'> {
  const { platformId, stateDir, uidFile, clock, logger } = options
  let cancelRestart = () => {}
  const start = (): Guard =>
    startGuard({
      platformId,
      stateDir,
      uidFile,
      cgroupRoot: CGROUP_ROOT,
      onLost: () => {
        logger.warn({}, 'the guard process ended; starting another')
        cancelRestart = clock.after(GUARD_RESTART_MS, () => {
          guard = start()
        })
      },
    })
  let guard = start()
  return {
    dismiss: async () => {
      cancelRestart()
      await guard.dismiss()
    },
  }
}

interface Sandboxes {
  create(spec: SandboxSpec): Promise<Sandbox>
  close(): Promise<void>
}

/** All sandboxes of the platform, those being made included, so that `close` misses none. */
function createSandboxes(host: SandboxHost, maxLaunches: number): Sandboxes {
  const launches = limitLaunches(maxLaunches)
  const pending = new Set<Promise<Sandbox>>()
  const alive = new Set<Sandbox>()
  let closed = false
  const launch = async (spec: SandboxSpec): Promise<Sandbox> => {
    if (closed) throw new RuntimeError('CREATE_FAILED', 'the platform is stopping')
    const sandbox = await createSandbox(host, spec)
    alive.add(sandbox)
    return forgetting(sandbox, () => alive.delete(sandbox))
  }
  return {
    async create(spec) {
      const creation = keepAlive(launches.run(() => launch(spec)))
      pending.add(creation)
      try {
        return await creation
      } finally {
        pending.delete(creation)
      }
    },
    async close() {
      closed = true
      await Promise.allSettled(pending)
      await Promise.allSettled([...alive].map((sandbox) => sandbox.destroy()))
    },
  }
}

/** Calls `forget` once the sandbox is destroyed. */
function forgetting(sandbox: Sandbox, forget: () => void): Sandbox {
  const destroy = sandbox.destroy.bind(sandbox)
  sandbox.destroy = async () => {
    await keepAlive(destroy())
    forget()
  }
  return sandbox
}
