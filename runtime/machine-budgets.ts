// What sandboxes together may take of things that the kernel counts for the whole machine or not at all: how high settings must be,
// what one sandbox gets of what is counted by user, and the rows of `fn doctor`. Reads a few files; changes nothing.
// The whole table, with the tests: docs/security.md, "Budgets of the whole machine".
import { readFileSync } from 'node:fs'
import type { LimitSupport } from './api.ts'
import type { KernelSettings, NeededSetting } from './host/kernel-settings.ts'
import { CONNECTION_LIMITS } from './network/ruleset.ts'
import type { HardLimits } from './oci/config.ts'

/** Sandboxes of one platform, at most: it has so many ranges of user ids. */
const MOST_SANDBOXES = 1024
/** The least that an open file takes of the memory limit of who opened it: the kernel's `struct file`. */
const FILE_BYTES = 160
const PAGE_BYTES = 4096
/** A sandbox's own seccomp filter, as the processor runs it, and twice that for what else the machine filters. */
const FILTER_BYTES = 32 * 1024
/** Of what the kernel keeps of waiting signals for the user that started the platform, what sandboxes get together. */
const SIGNALS_SHARE = 0.75
const MOST_SIGNALS = 1024
const LEAST_SIGNALS = 16

export interface MachineInput {
  /** Memory that all sandboxes together may have. */
  readonly memoryBytes: number
  /** Version of the memory interface: on 2 socket buffers are memory, and may be all of it. */
  readonly memoryVersion: 1 | 2
}

/** Settings that must be so high that a sandbox meets its own limits first. */
export function neededSettings({ memoryBytes, memoryVersion }: MachineInput): NeededSetting[] {
  const pages = Math.ceil(memoryBytes / PAGE_BYTES)
  const sockets: NeededSetting[] = ['tcp', 'udp'].map((kind) => {
    const heldBy = 'buffers are part of `memory`'
    return { row: `${kind} buffers`, name: `net/ipv4/${kind}_mem`, least: pages, heldBy }
  })
  return [
    {
      row: 'open files',
      name: 'fs/file-max',
      least: Math.ceil(memoryBytes / FILE_BYTES),
      heldBy: '`memory` ends first: each takes at least 160 bytes of it',
    },
    {
      row: 'packet filters',
      name: 'net/core/bpf_jit_limit',
      least: MOST_SANDBOXES * FILTER_BYTES,
      heldBy: 'sandboxes may load none (seccomp)',
    },
    {
      row: 'connections',
      name: 'net/netfilter/nf_conntrack_max',
      least: Math.ceil(MOST_SANDBOXES * CONNECTION_LIMITS.open * 1.25),
      heldBy: `${CONNECTION_LIMITS.open} open at once for each sandbox`,
    },
    ...(memoryVersion === 2 ? sockets : []),
  ]
}

/** Waiting signals and timers of one sandbox. The kernel counts them for all sandboxes together, with the user that made their
 *  user namespaces (user_namespaces(7)), and refuses more than that one's RLIMIT_SIGPENDING. */
export function signalsOfSandbox(hardLimits: HardLimits): number {
  const { sigpending } = hardLimits
  if (sigpending === undefined) return MOST_SIGNALS
  const share = Math.floor((sigpending * SIGNALS_SHARE) / MOST_SANDBOXES)
  return Math.min(MOST_SIGNALS, Math.max(LEAST_SIGNALS, share))
}

/** Limits that nothing asked for may be above: the platform's own, and of what is counted for all sandboxes together a share. */
export function hardLimitsOfSandbox(hardLimits: HardLimits): HardLimits {
  return { ...hardLimits, sigpending: signalsOfSandbox(hardLimits) }
}

export interface BudgetSources {
  readonly settings: KernelSettings
  readonly hardLimits: HardLimits
  /** Whether socket buffers are bounded and charged. */
  readonly boundsSockets: boolean
  readonly memoryVersion: 1 | 2
  /** Tasks of all sandboxes together, or null. */
  readonly totalPids: number | null
  /** Texts of /proc/cmdline and /proc/sys/vm/overcommit_memory; read when not given. */
  readonly cmdline?: string
  readonly overcommit?: string
}

/** Rows of the table that depend on the host, as it is now. */
export function budgetReport(sources: BudgetSources): Record<string, LimitSupport> {
  const cmdline = sources.cmdline ?? readFileSync('/proc/cmdline', 'utf8')
  const overcommit = sources.overcommit ?? readFileSync('/proc/sys/vm/overcommit_memory', 'latin1')
  return {
    ...sources.settings.report(),
    ...(sources.memoryVersion === 1 ? { 'socket buffers': socketBuffers(sources.boundsSockets) } : {}),
    'kernel memory': kernelMemory(cmdline),
    signals: signals(sources.hardLimits),
    tasks: tasks(sources.hardLimits, sources.totalPids),
    'address space':
      overcommit.trim() === '2'
        ? no(
            'vm.overcommit_memory is 2: one sandbox can reserve all that may be reserved',
            'sysctl -w vm.overcommit_memory=0',
          )
        : yes('only memory in use counts'),
  }
}

function socketBuffers(bounded: boolean): LimitSupport {
  return bounded
    ? yes('a quarter of `memory`, at most 16 MiB, on top of it (memory.kmem.tcp); both are charged to the host')
    : no('this kernel does not bound socket buffers by cgroup', 'use cgroup v2, or a kernel with memory.kmem.tcp')
}

function kernelMemory(cmdline: string): LimitSupport {
  const off = /\bcgroup\.memory=\S*\b(nokmem|nosocket)\b/.exec(cmdline)?.[1]
  if (off === undefined) return yes('files, pipes, maps, names and pages of page tables are part of `memory`')
  return no(`the kernel was booted with cgroup.memory=${off}`, `take ${off} from the kernel command line and reboot`)
}

function signals(hardLimits: HardLimits): LimitSupport {
  const each = signalsOfSandbox(hardLimits)
  const { sigpending } = hardLimits
  if (sigpending === undefined || each * MOST_SANDBOXES <= sigpending)
    return yes(`${each} waiting signals and timers for each sandbox`)
  const fix = `start the platform with ulimit -i ${Math.ceil((each * MOST_SANDBOXES) / SIGNALS_SHARE)} or more`
  return no(`the platform may have ${sigpending} waiting signals, its sandboxes together more`, fix)
}

function tasks({ nproc }: HardLimits, totalPids: number | null): LimitSupport {
  if (totalPids === null) return yes('`pids` for each sandbox')
  if (nproc === undefined || totalPids <= nproc) return yes(`\`pids\` for each sandbox, ${totalPids} for all together`)
  const fix = `start the platform with ulimit -u ${totalPids} or more`
  return no(`the platform may have ${nproc} processes, its sandboxes together ${totalPids}`, fix)
}

function yes(how: string): LimitSupport {
  return { enforced: true, how }
}

function no(how: string, fix: string): LimitSupport {
  return { enforced: false, how, fix }
}
