// What a sandbox is, as an OCI runtime configuration. Pure: from a description to the JSON the OCI runtime reads.
// No capability, no hook, no device beyond the runtime's defaults, no environment of the platform.

import { join } from 'node:path'
import type { VolumeMount } from '../api.ts'
import { RANGE_SIZE } from '../host/uid-ranges.ts'
import type { Limits } from '../limits/limits.ts'
import { memoryClassBytes } from '../limits/memory-class.ts'
import type { SeccompProfile } from './seccomp.ts'

/** Who the code is inside the sandbox. */
export const INNER_UID = 1000
const MIB = 1024 ** 2

export interface ConfigInput {
  /** Mounted root file system. */
  readonly rootPath: string
  /** False with a copy-on-write root. */
  readonly rootReadOnly: boolean
  /** First host uid of the sandbox's range. */
  readonly uidBase: number
  readonly limits: Limits
  /** `cgroupsPath` and `linux.resources` as the cgroup host wants them. */
  readonly cgroupsPath: string
  readonly resources: object
  readonly seccomp: SeccompProfile
  /** Folder of the mounted scratch disk, or null. */
  readonly scratchPath: string | null
  /** Variables besides the platform's own. Default none. */
  readonly bootEnv?: Readonly<Record<string, string>>
  /** Volumes, and where they are mounted on the host. Default none. */
  readonly volumes?: readonly VolumeSource[]
  /** `own`: a new one with nothing in it. `host`: the host's. Else the path of one made before. Default `own`. */
  readonly networkNamespace?: string
  readonly hardLimits: HardLimits
  /** The platform's own value; a process may only raise it. */
  readonly oomScoreAdj: number
}

/** A volume and the folder of the host it is mounted on already (of a tmpfs: nowhere yet). */
export interface VolumeSource {
  readonly volume: VolumeMount
  readonly target: string
}

/** Highest rlimits by name (`nofile`): the platform's own, since without CAP_SYS_RESOURCE they can only be lowered, or less. */
export type HardLimits = Readonly<Record<string, number>>

/** Builds `config.json`. */
export function ociConfig(input: ConfigInput): object {
  return {
    ociVersion: '1.0.2',
    process: ociProcess(input),
    root: { path: input.rootPath, readonly: input.rootReadOnly },
    hostname: 'sandbox',
    mounts: ociMounts(input),
    linux: {
      namespaces: namespaces(input.networkNamespace ?? 'own'),
      uidMappings: [{ containerID: 0, hostID: input.uidBase, size: RANGE_SIZE }],
      gidMappings: [{ containerID: 0, hostID: input.uidBase, size: RANGE_SIZE }],
      cgroupsPath: input.cgroupsPath,
      resources: { devices: [{ allow: false, access: 'rwm' }], ...input.resources },
      seccomp: input.seccomp,
      maskedPaths: MASKED,
      readonlyPaths: ['/proc/sys', '/proc/sysrq-trigger'],
    },
  }
}

function namespaces(network: string): object[] {
  const own = ['mount', 'uts', 'ipc', 'pid', 'user', 'cgroup'].map((type) => ({ type }))
  if (network === 'host') return own
  // SECURITY: one made before belongs to the host's user namespace: root inside has no power over its interfaces.
  return [...own, network === 'own' ? { type: 'network' } : { type: 'network', path: network }]
}

/** Files of /proc about the host, its load, what else runs on it, or its kernel's memory. Each costs a mount, some 0.1 ms of every
 *  start: so folders as a whole, and nothing that the kernel lets only the host's root read. test/kernel/host-facts.test.ts lists
 *  what is left, with a reason each. */
const MASKED = [
  ...['acpi', 'asound', 'bus', 'dynamic_debug', 'fs', 'irq', 'pressure', 'scsi', 'sys/fs'],
  ...['bootconfig', 'buddyinfo', 'cgroups', 'cmdline', 'config.gz', 'diskstats', 'interrupts', 'kallsyms', 'kcore'],
  ...[
    'key-users',
    'keys',
    'latency_stats',
    'modules',
    'partitions',
    'sched_debug',
    'schedstat',
    'softirqs',
    'timer_stats',
  ],
  ...['vmstat', 'zoneinfo', 'sys/kernel/random/boot_id'],
].map((name) => `/proc/${name}`)

function ociProcess(input: ConfigInput): object {
  const none: string[] = []
  return {
    terminal: false,
    user: { uid: INNER_UID, gid: INNER_UID, umask: 0o022 },
    cwd: '/tmp',
    args: ['/usr/bin/node', ...nodeFlags(input.limits.memory), '/runtime/bootstrap.cjs'],
    env: innerEnvironment(input.scratchPath !== null, input.bootEnv ?? {}),
    capabilities: { bounding: none, effective: none, inheritable: none, permitted: none, ambient: none },
    noNewPrivileges: true,
    oomScoreAdj: Math.max(SANDBOX_OOM_SCORE, input.oomScoreAdj),
    rlimits: rlimits(input.limits, input.hardLimits),
  }
}

/** When the host itself runs out of memory, sandboxes go before the platform. */
const SANDBOX_OOM_SCORE = 500

/** V8's heap limit is fixed at boot: three quarters of the memory limit leave room for code, stacks, buffers and /tmp.
 *  Of the limit's class: a function has the same heap whether its process booted for it or before. */
export function nodeFlags(memoryBytes: number): string[] {
  const heapMb = Math.max(12, Math.floor((memoryClassBytes(memoryBytes) * 0.75) / MIB))
  return [`--max-old-space-size=${heapMb}`]
}

function innerEnvironment(scratch: boolean, bootEnv: Readonly<Record<string, string>>): string[] {
  const own = Object.entries(bootEnv).map(([name, value]) => `${name}=${value}`)
  const env = [...own, 'PATH=/usr/local/bin:/usr/bin:/bin', 'HOME=/tmp', 'TMPDIR=/tmp', 'LANG=C.UTF-8']
  return scratch ? [...env, 'FN_SCRATCH_DIR=/scratch'] : env
}

interface OciRlimit {
  readonly type: string
  readonly soft: number
  readonly hard: number
}

/** Defaults, then what was asked for, none above the platform's own. */
function rlimits(limits: Limits, hardLimits: HardLimits): OciRlimit[] {
  const wanted = new Map([
    ['core', { soft: 0, hard: 0 }],
    ['nofile', { soft: 20_000, hard: 20_000 }],
    // Counted with the host's root, for all its sandboxes together: what each may have comes with the hard limits.
    ['sigpending', { soft: 1024, hard: 1024 }],
    ['memlock', { soft: 8 * MIB, hard: 8 * MIB }],
  ])
  for (const { name, soft, hard } of limits.ulimits) wanted.set(name, { soft, hard })
  return [...wanted].map(([name, { soft, hard }]) => {
    const highest = hardLimits[name] ?? hard
    return { type: `RLIMIT_${name.toUpperCase()}`, soft: Math.min(soft, highest), hard: Math.min(hard, highest) }
  })
}

/** Parses /proc/self/limits (`unlimited` is left out: anything may be asked for). */
export function parseHardLimits(text: string): HardLimits {
  const found: Record<string, number> = {}
  for (const [name, title] of Object.entries(LIMIT_TITLES)) {
    const line = text.split('\n').find((candidate) => candidate.startsWith(`Max ${title} `))
    const hard = line
      ?.slice(4 + title.length)
      .trim()
      .split(/\s+/)[1]
    if (hard !== undefined && /^\d+$/.test(hard)) found[name] = Number(hard)
  }
  return found
}

const LIMIT_TITLES: Readonly<Record<string, string>> = {
  as: 'address space',
  core: 'core file size',
  cpu: 'cpu time',
  data: 'data size',
  fsize: 'file size',
  locks: 'file locks',
  memlock: 'locked memory',
  msgqueue: 'msgqueue size',
  nice: 'nice priority',
  nofile: 'open files',
  nproc: 'processes',
  rss: 'resident set',
  rtprio: 'realtime priority',
  rttime: 'realtime timeout',
  sigpending: 'pending signals',
  stack: 'stack size',
}

const BYTES_PER_INODE = 4096
const SMALLEST_INODES = 256
const MOST_INODES = 65_536

/** Inodes of /tmp: one per 4 KiB, bounded, because each costs kernel memory. */
export function tmpfsInodes(sizeBytes: number): number {
  return Math.min(MOST_INODES, Math.max(SMALLEST_INODES, Math.floor(sizeBytes / BYTES_PER_INODE)))
}

function ociMounts(input: ConfigInput): object[] {
  const { tmpfs } = input.limits
  const temporary = ['nosuid', 'nodev', 'mode=1777', `size=${tmpfs}`, `nr_inodes=${tmpfsInodes(tmpfs)}`]
  const mounts: object[] = [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    // What a sandbox may see of it, from its own root: a path of the host would show in its mounts.
    {
      destination: '/proc/stat',
      type: 'none',
      source: join(input.rootPath, 'runtime/proc-stat'),
      options: ['bind', 'ro', 'nosuid', 'noexec', 'nodev'],
    },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'noexec', 'strictatime', 'mode=755', 'size=64k'],
    },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=1m'],
    },
    { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: temporary },
  ]
  if (input.scratchPath !== null) {
    mounts.push({
      destination: '/scratch',
      type: 'none',
      source: input.scratchPath,
      options: ['bind', 'rw', 'nosuid', 'nodev', 'private'],
    })
  }
  for (const source of input.volumes ?? []) mounts.push(volumeMount(source))
  return mounts
}

function volumeMount({ volume, target }: VolumeSource): object {
  if (volume.kind === 'tmpfs') {
    const bounds = ['mode=1777', `size=${volume.sizeBytes}`, `nr_inodes=${tmpfsInodes(volume.sizeBytes)}`]
    return { destination: volume.path, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', ...bounds] }
  }
  const options = ['bind', volume.readOnly ? 'ro' : 'rw', 'nosuid', 'nodev', 'private']
  return { destination: volume.path, type: 'none', source: target, options }
}
