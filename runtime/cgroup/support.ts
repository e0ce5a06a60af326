// The honest answer to "does this host enforce limit X": one sentence a limit for `fn doctor` and for refusals. Pure.
import type { LimitSupport } from '../api.ts'
import type { LimitName } from '../limits/limits.ts'
import type { CgroupFeatures } from './features.ts'
import type { CgroupMode } from './tree.ts'

export interface SupportInput {
  readonly mode: CgroupMode
  readonly features: CgroupFeatures
  /** Version of the memory and io interfaces here. */
  readonly memoryVersion: 1 | 2
  readonly ioVersion: 1 | 2 | null
  readonly scratchAvailable: boolean
  /** Why sandboxes have no network here, with what would change it; null: they can have one. */
  readonly missingForNetwork?: string | null
}

const CHOOSE_BFQ = 'choose it for a disk: echo bfq > /sys/block/DISK/queue/scheduler'
const NO_SWAP_NOTE = 'this host has no swap now, so nothing is swapped out and the cap is met by memory alone'

/** Every limit of the table, with what enforces it here, or why nothing does and what would. */
export function describeSupport(input: SupportInput): Record<LimitName, LimitSupport> {
  return { ...cpuSupport(input), ...memorySupport(input), ...ioSupport(input), ...fixedSupport(input) }
}

function cpuSupport({ features }: SupportInput) {
  return {
    cpuShares: yes('CPU weight of the cgroup'),
    cpus: features.quota
      ? yes('CPU quota for each 100 ms')
      : no('this kernel has no CPU quota', 'use a kernel with CONFIG_CFS_BANDWIDTH'),
    cpusetCpus: features.cpuset
      ? yes('cpuset of the cgroup')
      : no('no cpuset controller is mounted', 'mount it, or enable +cpuset in cgroup.subtree_control of the root'),
    pids: yes('pids.max; a fork above it fails with EAGAIN'),
  }
}

function memorySupport({ features, memoryVersion }: SupportInput) {
  const accounting = 'add swapaccount=1 to the kernel command line and reboot'
  return {
    memory: yes(
      memoryVersion === 1
        ? 'memory.limit_in_bytes; the kernel kills above it'
        : 'memory.max; the kernel kills above it',
    ),
    memoryReservation: features.reservation
      ? yes(
          memoryVersion === 1
            ? 'memory.soft_limit_in_bytes, under pressure on the host'
            : 'memory.low, under pressure on the host',
        )
      : no('this kernel has no soft limit', 'use cgroup v2'),
    memorySwap: features.swapAccounting
      ? yes(
          (memoryVersion === 1 ? 'memory.memsw.limit_in_bytes' : 'memory.swap.max') +
            (features.swapOnHost ? '' : `; ${NO_SWAP_NOTE}`),
        )
      : no('this kernel does not account for swap', accounting),
    memorySwappiness: features.swappiness
      ? yes(`memory.swappiness${features.swapOnHost ? '' : '; this host has no swap now, so it has no effect yet'}`)
      : no('cgroup v2 has no swappiness for one cgroup', 'boot with cgroup v1 (systemd.unified_cgroup_hierarchy=0)'),
  }
}

function ioSupport({ features, ioVersion, scratchAvailable }: SupportInput) {
  const disks = features.bfqDisks.join(', ')
  const noWeights = no('this kernel has no I/O weights', 'use a kernel with CONFIG_BFQ_GROUP_IOSCHED')
  const onScratch = scratchAvailable && features.bfqOffered
  const where = [...(disks === '' ? [] : [disks]), ...(onScratch ? ['the scratch disk (--scratch SIZE)'] : [])]
  const weight = !features.ioWeight
    ? noWeights
    : where.length > 0
      ? yes(`bfq weight, on ${where.join(' and ')}`)
      : no('neither a disk nor the scratch disks can use the bfq scheduler', `modprobe bfq; or ${CHOOSE_BFQ}`)
  const weightDevice = !features.ioWeight
    ? noWeights
    : disks !== ''
      ? yes(`bfq weight, on ${disks}`)
      : no('no disk uses the bfq scheduler', CHOOSE_BFQ)
  const scope = scratchAvailable
    ? 'named disks and the scratch disk'
    : 'named disks (DEVICE:RATE); no scratch disk here'
  const rate = (file: string): LimitSupport =>
    !features.ioRates
      ? no(
          'no block I/O controller is mounted',
          'mount blkio (v1), or enable +io in cgroup.subtree_control of the root (v2)',
        )
      : ioVersion === 1
        ? yes(`blkio.throttle on ${scope}; buffered writes are held to it on the scratch disk only`)
        : yes(`io.max ${file} on ${scope}, buffered writes included`)
  return {
    blkioWeight: weight,
    blkioWeightDevice: weightDevice,
    deviceReadBps: rate('rbps'),
    deviceWriteBps: rate('wbps'),
    deviceReadIops: rate('riops'),
    deviceWriteIops: rate('wiops'),
  }
}

function fixedSupport({ scratchAvailable, missingForNetwork = null }: SupportInput) {
  const network = (end: string): LimitSupport =>
    missingForNetwork === null
      ? yes(`token bucket (tc tbf) at the ${end} end of the sandbox's link, with network bridge`)
      : no('sandboxes have no network on this host', missingForNetwork)
  return {
    networkRxBps: network("host's"),
    networkTxBps: network("sandbox's"),
    ulimits: yes('rlimits, set when the sandbox is created'),
    tmpfs: yes('size of the tmpfs at /tmp'),
    scratch: scratchAvailable
      ? yes('size of the disk at /scratch')
      : no(
          'no scratch disks on this host',
          'install e2fsprogs and util-linux (mkfs.ext4, losetup) and load the loop module',
        ),
  }
}

function yes(how: string): LimitSupport {
  return { enforced: true, how }
}

function no(how: string, fix: string): LimitSupport {
  return { enforced: false, how, fix }
}
