// Attacks on what the kernel counts for the whole machine or not at all (docs/security.md, "Budgets of the whole machine"): calls
// that are refused by their arguments, and fills that end at a bound. As data; budgets.test.ts tries them next to a neighbour.
import type { Attack } from './attacks.ts'
import type { KernelAttack } from './kernel-attacks.ts'
import type { KernelMemory } from './kernel-memory.ts'

const SOCKET = 1
const TCP = 6
const IP = 0
const IPV6 = 41
const FOUR = { words: [1] }
/** struct sock_fprog of one instruction that lets everything pass. */
const FILTER = { room: 16 }

/** `setsockopt` of a socket made just before. */
function options(level: number, ...names: number[]): KernelAttack['calls'] {
  return names.map((name) => ['setsockopt', { result: 0 }, level, name, FOUR, 4])
}

export const REFUSED_BUDGETS: readonly KernelAttack[] = [
  {
    id: 'packet-filters',
    family: 'budgets',
    tries: 'use up the memory of packet filters (`bpf_jit_limit`), from which every seccomp filter is taken',
    contained: '`EPERM` (seccomp knows the options of `setsockopt` and `prctl` by number, over 32 bits)',
    calls: [
      ['socket', 2, 2, 0],
      ...[26, 50, 51, 52].map((name) => ['setsockopt', { result: 0 }, SOCKET, name, FILTER, 16] as const),
      ['setsockopt', { result: 0 }, 0x1_0000_0001, 26, FILTER, 16],
      ['setsockopt', { result: 0 }, SOCKET, 0x1_0000_001a, FILTER, 16],
      ['prctl', 22, 2, FILTER],
      ['prctl', 0x1_0000_0016, 2, FILTER],
      ['seccomp', 1, 0, FILTER],
    ],
    gives: ['ok', ...Array<string>(9).fill('EPERM')],
  },
  {
    id: 'packet-stamps',
    family: 'budgets',
    tries:
      'slow down every packet of the host: time stamps, signatures, encapsulation, each a patch of the running kernel',
    contained: '`EPERM` (seccomp)',
    calls: [
      ['socket', 2, 1, 0],
      ...options(SOCKET, 29, 35, 37, 63, 64, 65, 60),
      ...options(TCP, 14, 31, 38),
      ['ioctl', { result: 0 }, 0x8906, { room: 16 }],
      ['socket', 2, 2, 0],
      ['setsockopt', { result: 12 }, 17, 100, { words: [2] }, 4],
    ],
    gives: ['ok', ...Array<string>(11).fill('EPERM'), 'ok', 'EPERM'],
  },
  {
    id: 'groups',
    family: 'budgets',
    tries: 'take what the kernel does not charge: multicast groups, flow labels, half-open connections',
    contained: '`EPERM` (seccomp)',
    calls: [
      ['socket', 2, 2, 0],
      ...options(IP, 35, 36, 39, 41, 42, 46, 48),
      ['socket', 10, 2, 0],
      ['setsockopt', { result: 8 }, IPV6, 20, { room: 20 }, 20],
      ['setsockopt', { result: 8 }, IPV6, 27, { room: 20 }, 20],
      ['setsockopt', { result: 8 }, IPV6, 32, { room: 32 }, 32],
      ['socket', 2, 1, 0],
      ['setsockopt', { result: 12 }, TCP, 9, FOUR, 4],
      ['setsockopt', { result: 12 }, TCP, 23, FOUR, 4],
    ],
    gives: ['ok', ...Array<string>(7).fill('EPERM'), 'ok', 'EPERM', 'EPERM', 'EPERM', 'ok', 'EPERM', 'EPERM'],
  },
  {
    id: 'other-protocols',
    family: 'budgets',
    tries: 'open sockets of other protocols, whose modules the kernel loads when a program asks',
    contained: '`EPERM` (seccomp knows families, types and protocols)',
    calls: [
      ['socket', 2, 1, 262],
      ['socket', 2, 1, 132],
      ['socket', 2, 2, 136],
      ['socket', 10, 6, 33],
      ['socket', 2, 2, 1],
      ['socket', 2, 1, 0x1_0000_0106],
    ],
    gives: Array<string>(6).fill('EPERM'),
  },
  {
    id: 'huge-pages',
    family: 'budgets',
    tries: 'take huge pages from the pool of the machine',
    contained: '`EPERM` (seccomp looks at the flags)',
    calls: [
      ['mmap', 0, 0x20_0000, 3, 0x4_0022, -1, 0],
      ['memfd_create', 'x', 4],
    ],
    gives: ['EPERM', 'EPERM'],
  },
  {
    id: 'nameless-locks',
    family: 'budgets',
    tries: 'hold locks that name no process, leases and directory watches',
    contained: '`EINVAL` and `EPERM` (seccomp)',
    calls: [
      ['open', '/tmp/nameless', 66, 0o600],
      ['fcntl', { result: 0 }, 37, { words: [1, 0, 1, 0] }],
      ['fcntl', { result: 0 }, 38, { words: [1, 0, 1, 0] }],
      ['fcntl', { result: 0 }, 1024, 1],
      ['fcntl', { result: 0 }, 1026, 1],
    ],
    gives: ['ok', 'EINVAL', 'EINVAL', 'EPERM', 'EPERM'],
  },
]

export interface FilledBudget extends Attack {
  /** Name in inside/budgets.ts. */
  readonly fill: string
  /** The caller gets 502 with this resource, or, as a number, at most so much was held. */
  readonly ends: { readonly killedFor: string } | { readonly atMost: number }
}

const MIB = 1024 ** 2

export const FILLED_BUDGETS: readonly FilledBudget[] = [
  {
    id: 'tcp-buffers',
    family: 'budgets',
    tries: 'fill buffers of TCP connections over its own loopback that are not read',
    contained: 'a quarter of `memory`, at most 16 MiB, are held; on cgroup v2 they are `memory`',
    fill: 'tcp',
    // Each of the eighty ends may have the kernel's least on top.
    ends: { atMost: 24 * MIB },
  },
  {
    id: 'udp-buffers',
    family: 'budgets',
    tries: 'fill buffers of UDP sockets that are not read',
    contained: 'the same',
    fill: 'udp',
    ends: { atMost: 17 * MIB },
  },
  {
    id: 'locks',
    family: 'budgets',
    tries: 'hold file locks without end, which no memory limit counts',
    contained: 'killed above 1,024: 502 `FUNCTION_OUT_OF_MEMORY`',
    fill: 'locks',
    ends: { killedFor: 'file locks' },
  },
  {
    id: 'orphaned-locks',
    family: 'budgets',
    tries: 'hold file locks of a process that is gone, so that they name no process',
    contained: 'the same: who has the open files is looked for',
    fill: 'orphaned-locks',
    ends: { killedFor: 'file locks' },
  },
  {
    id: 'unaccepted',
    family: 'budgets',
    tries: 'make connections to itself that are not accepted, which no memory limit counts',
    contained: 'killed above 4,096: 502 `FUNCTION_OUT_OF_MEMORY`',
    fill: 'unaccepted',
    ends: { killedFor: 'TCP sockets' },
  },
]

export interface ChargedBudget extends Attack {
  /** What the kernel has more of while it is held. */
  readonly heldAs: KernelMemory
  /** What it comes to where its sandbox is not killed: an error, `ok` where the kernel forgets the oldest. */
  readonly gives: readonly string[]
}

function charged(
  id: string,
  tries: string,
  heldAs: KernelMemory,
  gives: readonly string[],
  contained = 'charged to `memory`: refused, or killed there',
): ChargedBudget {
  return { id, family: 'budgets', tries, contained, heldAs, gives }
}

const TOO_MANY_REFERENCES = ['errno 109', 'ETOOMANYREFS']

/** Ids are names in inside/charged.ts. */
export const CHARGED_BUDGETS: readonly ChargedBudget[] = [
  charged('epoll', 'watch descriptors without end', 'SUnreclaim', ['ENOSPC', 'ENOMEM']),
  charged('maps', 'map pages without end, in several processes', 'SUnreclaim', ['ENOMEM']),
  charged('page-tables', 'have the kernel make page tables for memory that it does not take', 'PageTables', ['ENOMEM']),
  charged(
    'attributes',
    'give files large extended attributes',
    'SUnreclaim',
    ['ENOSPC', 'ENOMEM', 'EOPNOTSUPP'],
    '`ENOSPC` in /tmp',
  ),
  charged(
    'descriptors-in-flight',
    'send descriptors that are not taken',
    'SUnreclaim',
    TOO_MANY_REFERENCES,
    'refused at `nofile`',
  ),
  charged('nameless-files', 'fill files without a name', 'Shmem', ['ENOMEM', 'ENOSPC']),
  charged(
    'absent-names',
    'ask for files there are none of, whose names the kernel remembers',
    'SReclaimable',
    ['ok'],
    'the oldest are forgotten',
  ),
]

/** Output in the smallest pieces. */
export const DRIPS: readonly (Attack & { readonly descriptor: 1 | 2 | 3 })[] = [
  {
    id: 'drip-stdout',
    family: 'output',
    tries: 'have the platform woken for every byte: single bytes without a line’s end on stdout, by three sandboxes',
    contained: 'each read is charged as 16 KiB: some 640 a second; in between it is left unread and blocks',
    descriptor: 1,
  },
  {
    id: 'drip-stderr',
    family: 'output',
    tries: 'the same on stderr',
    contained: 'the same, of one budget with stdout',
    descriptor: 2,
  },
  {
    id: 'drip-wire',
    family: 'output',
    tries: 'the same on the wire, inside of a frame',
    contained: 'a read that carries no call further is charged as 8 KiB: some 1,280 a second',
    descriptor: 3,
  },
]
