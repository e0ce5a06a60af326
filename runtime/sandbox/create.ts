// Making a sandbox, step by step, each step with its way back; `destroy` is the same steps undone.
// What it needs of the host is handed in; nothing here outlives a failed creation.
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock, Logger, SandboxSpec, SandboxWatch } from '../api.ts'
import type { CgroupHost, SandboxCgroup } from '../cgroup/cgroup.ts'
import { RuntimeError } from '../errors.ts'
import type { DiskPromises } from '../host/disk-promises.ts'
import { diskFull } from '../host/durable-file.ts'
import { mountOwnDisk, mountWeightedDisk, type ScratchDisk } from '../host/scratch-disk.ts'
import { reap } from '../host/syscalls.ts'
import type { UidRanges } from '../host/uid-ranges.ts'
import type { WeightedDisk } from '../host/weighted-disk.ts'
import type { HostNetworks } from '../network/networks.ts'
import type { SandboxLink } from '../network/sandbox-link.ts'
import { type HardLimits, INNER_UID, ociConfig, type VolumeSource } from '../oci/config.ts'
import type { Container, OciRuntime } from '../oci/oci-runtime.ts'
import type { SeccompProfile } from '../oci/seccomp.ts'
import { WEIGHTED_IMAGE } from '../platform-folders.ts'
import { mountPointLayer } from '../volumes/mount-points.ts'
import { SandboxVolumes } from '../volumes/sandbox-volumes.ts'
import type { HostVolumes } from '../volumes/volume-store.ts'
import { awaitExit } from './death.ts'
import type { GroupBudgets } from './read-budget.ts'
import { mountRoot, unmountAll } from './root-file-system.ts'
import { ContainerSandbox } from './sandbox.ts'
import { runSteps, type Step } from './steps.ts'

/** What all sandboxes of a platform share. */
export interface SandboxHost {
  /** Sandbox folders lie here, mode 0711 all the way up. */
  readonly sandboxesDir: string
  /** Images of scratch disks. */
  readonly scratchDir: string
  /** The disk that scratch disks with an I/O weight share, made at first use. */
  weightedDisk(): Promise<WeightedDisk>
  /** What is promised of the disk scratch disks lie on. */
  readonly promises: DiskPromises
  /** Folders of the layers every sandbox has, lowest first. */
  readonly baseLayers: readonly string[]
  /** Folder of an unpacked add-on layer. */
  layerFolder(digest: string): Promise<string>
  /** Mount points of volumes, a folder for each sandbox that has any; mode 0711. */
  readonly volumesDir: string
  readonly volumes: HostVolumes
  readonly networks: HostNetworks
  /** Layers of mount points are kept here. */
  readonly layersDir: string
  readonly uids: UidRanges
  readonly cgroups: CgroupHost
  readonly oci: OciRuntime
  readonly seccomp: SeccompProfile
  readonly hardLimits: HardLimits
  readonly oomScoreAdj: number
  readonly groups: GroupBudgets
  readonly clock: Clock
  readonly logger: Logger
  /** Not given: nothing looks whether the event loop stands. */
  readonly watch?: SandboxWatch
  /** Called after each step; throwing there fails the creation (tests). */
  readonly afterStep?: (name: string) => void
}

const BOOT_TIMEOUT_MS = 20_000
const EMPTY_TIMEOUT_MS = 10_000
/** Node's own threads: main, V8's workers, signals, libuv's pool; the OCI runtime's, before them, are about as many. */
const START_TASKS = 8

/** Creates a sandbox with the bootstrap ready in it. Throws RuntimeError `CREATE_FAILED` | `BOOT_TIMEOUT` | `DISK_FULL`. */
export async function createSandbox(host: SandboxHost, spec: SandboxSpec): Promise<ContainerSandbox> {
  const id = randomBytes(6).toString('hex')
  const build = new Build(host, spec, id)
  try {
    const { times, undo } = await runSteps(build.steps(), host)
    return build.finish(times, undo)
  } catch (error) {
    const known = diskFull(error, id)
    if (known instanceof RuntimeError) throw known
    throw new RuntimeError('CREATE_FAILED', `sandbox ${id}: ${(error as Error).message}`, { cause: error })
  }
}

/** What one creation has made so far. */
class Build {
  readonly #host: SandboxHost
  readonly #spec: SandboxSpec
  readonly #id: string
  readonly #folder: string
  #uidBase = 0
  #stuck = false
  #scratch: ScratchDisk | null = null
  #volumes: readonly VolumeSource[] = []
  #link: SandboxLink | null = null
  #rootPath = ''
  #container: Container | null = null
  #cgroup: SandboxCgroup | null = null
  #cgroupGone = false
  #sandbox: ContainerSandbox | null = null

  constructor(host: SandboxHost, spec: SandboxSpec, id: string) {
    this.#host = host
    this.#spec = spec
    this.#id = id
    this.#folder = join(host.sandboxesDir, id)
  }

  /** ORDER: undone from the last to the first: processes before mounts, mounts before folders and uids. */
  steps(): Step[] {
    const scratch = this.#spec.limits.scratch
    return [
      { name: 'uids', run: () => this.#takeUids(), undo: () => this.#returnUids() },
      { name: 'folder', run: () => this.#makeFolder(), undo: () => this.#removeFolder() },
      ...(this.#spec.network === 'none' ? [] : [this.#networkStep()]),
      ...(scratch === null ? [] : [this.#scratchStep(scratch)]),
      ...((this.#spec.volumes?.length ?? 0) === 0 ? [] : [this.#volumesStep(this.#spec.volumes ?? [])]),
      { name: 'root', run: () => this.#mountRoot(), undo: () => unmountAll(this.#folder) },
      { name: 'config', run: () => this.#writeConfig(), undo: () => this.#host.cgroups.forget(this.#id) },
      { name: 'container', run: () => this.#sayingTasks(() => this.#start()), undo: () => this.#deleteContainer() },
      { name: 'cgroup', run: () => this.#attach(), undo: () => this.#removeCgroup() },
      { name: 'ready', run: () => this.#sayingTasks(() => this.#made().boot(BOOT_TIMEOUT_MS)) },
    ]
  }

  /** The OCI runtime and Node fail in many words where they may not have their threads; those of the limit are added. */
  async #sayingTasks(run: () => Promise<void>): Promise<void> {
    try {
      await run()
    } catch (error) {
      const { pids } = this.#spec.limits
      if (pids >= START_TASKS || !(error instanceof RuntimeError)) throw error
      const hint = `a sandbox starts with about ${START_TASKS} tasks, pids is ${pids}`
      throw new RuntimeError(error.code, `${error.message}; ${hint}`, {
        cause: error,
        ...(error.fault && { fault: error.fault }),
      })
    }
  }

  finish(times: ContainerSandbox['steps'], undo: () => Promise<void>): ContainerSandbox {
    const sandbox = this.#made()
    sandbox.own(times, undo)
    return sandbox
  }

  #takeUids(): void {
    this.#uidBase = this.#host.uids.acquire()
  }

  /** SECURITY: never to another sandbox while a process of this one may live on in some uninterruptible wait. */
  #returnUids(): void {
    if (!this.#stuck) this.#host.uids.release(this.#uidBase)
  }

  #makeFolder(): void {
    mkdirSync(this.#folder)
    chmodSync(this.#folder, 0o711) // the sandbox's root user must be able to walk through
  }

  async #removeFolder(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }

  #scratchStep(sizeBytes: number): Step {
    const { scratchDir, promises } = this.#host
    const image = join(scratchDir, `sandbox-${this.#id}.img`)
    const isWeighted = this.#spec.limits.blkioWeight !== null
    let promise: { release(): void } | null = null
    return {
      name: 'scratch',
      run: async () => {
        promise = promises.reserve(isWeighted ? join(scratchDir, WEIGHTED_IMAGE) : image, sizeBytes, 'a scratch disk')
        const request = { sizeBytes, target: this.#scratchPath(), uid: this.#uidBase + INNER_UID }
        mkdirSync(request.target)
        this.#scratch = isWeighted
          ? await mountWeightedDisk(await this.#host.weightedDisk(), request)
          : await mountOwnDisk(scratchDir, image, request)
      },
      undo: async () => {
        await unmountAll(this.#scratchPath())
        await this.#scratch?.release()
        promise?.release()
      },
    }
  }

  #networkStep(): Step {
    const { networks } = this.#host
    return {
      name: 'network',
      run: async () => {
        // SECURITY: what an administrator allowed when the function was deployed may be allowed no more.
        if (this.#spec.network === 'host') await networks.check('host', null)
        else this.#link = await networks.link(this.#id)
      },
      // SECURITY: while a process may live on in it, its address is nobody else's.
      undo: () => (this.#stuck ? undefined : networks.giveBack(this.#id)),
    }
  }

  #volumesStep(volumes: NonNullable<SandboxSpec['volumes']>): Step {
    const mounts = new SandboxVolumes(this.#host.volumes, join(this.#host.volumesDir, this.#id))
    return {
      name: 'volumes',
      run: async () => {
        this.#volumes = await mounts.mount(volumes, this.#uidBase)
      },
      undo: () => mounts.release(),
    }
  }

  #scratchPath(): string {
    return join(this.#folder, 'scratch')
  }

  async #mountRoot(): Promise<void> {
    const addOns = await Promise.all(this.#spec.layers.map((digest) => this.#host.layerFolder(digest)))
    const volumes = this.#spec.volumes ?? []
    const settings = [this.#host.networks.layer(this.#spec.network)].filter((layer) => layer !== null)
    const mountPoints = volumes.length === 0 ? [] : [await mountPointLayer(this.#host.layersDir, volumes)]
    this.#rootPath = await mountRoot({
      folder: this.#folder,
      // ORDER: mount points lowest, so that of a folder that is there already its own mode counts.
      layers: [...mountPoints, ...this.#host.baseLayers, ...settings, ...addOns],
      uidBase: this.#uidBase,
      writableBytes: this.#spec.writableRootBytes,
    })
  }

  async #writeConfig(): Promise<void> {
    const { cgroups, seccomp, hardLimits, oomScoreAdj } = this.#host
    const { limits } = this.#spec
    cgroups.prepare(this.#id, limits)
    const config = ociConfig({
      rootPath: this.#rootPath,
      rootReadOnly: this.#spec.writableRootBytes === null,
      uidBase: this.#uidBase,
      limits,
      cgroupsPath: cgroups.path(this.#id),
      resources: cgroups.ociResources(limits),
      seccomp,
      volumes: this.#volumes,
      bootEnv: this.#spec.bootEnv ?? {},
      networkNamespace: this.#link?.namespacePath ?? (this.#spec.network === 'host' ? 'host' : 'own'),
      scratchPath: limits.scratch === null ? null : this.#scratchPath(),
      hardLimits,
      oomScoreAdj,
    })
    await writeFile(join(this.#folder, 'config.json'), JSON.stringify(config), { mode: 0o600 })
  }

  async #start(): Promise<void> {
    this.#container = await this.#host.oci.run(this.#id, this.#folder)
  }

  async #deleteContainer(): Promise<void> {
    const container = this.#container
    if (container !== null) {
      // Dead already, unless no cgroup could be attached to kill it. SECURITY: only while it is our unreaped child, since
      // afterwards its pid may be somebody else's.
      if (reap(container.pid) === 'running') process.kill(container.pid, 'SIGKILL')
      await awaitExit(container.pid, EMPTY_TIMEOUT_MS, this.#host.clock)
      for (const stream of [container.socket, container.stdout, container.stderr]) stream.destroy()
    }
    // A process of the runtime costs 20 ms of CPU, and its start holds up the event loop; hundreds may end at once.
    if (this.#cgroupGone) await this.#host.oci.forget(this.#id)
    else await this.#host.oci.delete(this.#id)
  }

  #attach(): void {
    const { cgroups, clock, logger } = this.#host
    const { limits } = this.#spec
    const container = this.#container
    if (container === null) throw new Error('attached before it was started')
    this.#cgroup = cgroups.attach(this.#id, limits, this.#scratch?.majorMinor ?? null)
    this.#link?.attach(container.pid)
    this.#link?.applyRates(limits)
    const link = this.#link
    const id = this.#id
    const onBug = (error: unknown) =>
      logger.error({ err: error, sandbox: id }, 'what a sandbox sent could not be handled')
    const { groups } = this.#host
    const ownNetwork = this.#spec.network !== 'host'
    const watch = this.#host.watch
    const directories = cgroups.directories(id)
    const parts = { id, container, cgroup: this.#cgroup, link, limits, ownNetwork, groups, clock, onBug }
    this.#sandbox = new ContainerSandbox({ ...parts, ...(watch === undefined ? {} : { watch, directories }) })
  }

  async #removeCgroup(): Promise<void> {
    const cgroup = this.#cgroup
    if (cgroup === null) return
    this.#sandbox?.kill({ code: 'KILLED', message: 'the sandbox could not be created' })
    cgroup.kill()
    this.#stuck = !(await cgroup.waitEmpty(EMPTY_TIMEOUT_MS))
    await cgroup.remove()
    this.#cgroupGone = true
  }

  #made(): ContainerSandbox {
    if (this.#sandbox === null) throw new Error('used before it was made')
    return this.#sandbox
  }
}
