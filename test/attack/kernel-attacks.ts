// Attacks that are system calls: each as data, with what every call of it must come to. kernel.test.ts makes them inside a
// sandbox. EPERM is the seccomp allow-list's answer, ENOSYS for calls newer than its library, unless the row says who else answers.
import { seccompProfile } from '../../runtime/oci/seccomp.ts'
import type { Attack } from './attacks.ts'
import type { CallArgument, KernelCall } from './inside/caller.ts'
import { callNumber, X86_64_CALLS } from './x86-64-calls.ts'

export interface KernelAttack extends Attack {
  readonly calls: readonly CallText[]
  /** Of each call: `ok`, an error, or several that will do (`EPERM|EACCES`). Default: EPERM or ENOSYS for all. */
  readonly gives?: readonly string[]
  /** The program must be killed by this signal instead. */
  readonly killedBy?: string
}

/** Name of a call and its arguments; `i386:20` is a number of the 32-bit table, `x32:39` one of x32, `#335` one of the host's own. */
export type CallText = readonly [name: string, ...args: CallArgument[]]

const X32_BIT = 0x4000_0000

/** The call with its number. */
export function toCall([name, ...args]: CallText): KernelCall {
  const [, table, number] = /^(i386|x32):(\d+)$/.exec(name) ?? []
  if (table === 'i386') return { number: Number(number), arguments: args, i386: true }
  if (table === 'x32') return { number: X32_BIT + Number(number), arguments: args }
  return { number: name.startsWith('#') ? Number(name.slice(1)) : callNumber(name), arguments: args }
}

const NEW = {
  time: 0x80,
  mount: 0x0002_0000,
  cgroup: 0x0200_0000,
  uts: 0x0400_0000,
  ipc: 0x0800_0000,
  user: 0x1000_0000,
  pid: 0x2000_0000,
  net: 0x4000_0000,
}
const SIGCHLD = 17
const ROOM: CallArgument = { room: 512 }
const AT_FDCWD = -100
const TMPFS: CallArgument = 'tmpfs'

const privilege: readonly KernelAttack[] = [
  {
    id: 'unshare',
    family: 'privilege',
    tries: 'leave its namespaces with `unshare`, one of each kind and all at once',
    contained: '`EPERM` (seccomp)',
    calls: [...Object.values(NEW), 0x7e02_0000].map((flag): CallText => ['unshare', flag]),
  },
  {
    id: 'clone-namespaces',
    family: 'privilege',
    tries: 'start a child in new namespaces with `clone`, a nested user namespace among them',
    contained: '`EPERM` (seccomp looks at the flags)',
    calls: Object.values(NEW)
      .filter((flag) => flag !== NEW.time)
      .map((flag): CallText => ['clone', flag + SIGCHLD, 0, 0, 0, 0]),
  },
  {
    id: 'clone3',
    family: 'privilege',
    tries: 'do the same with `clone3`, whose flags seccomp cannot see',
    contained: '`ENOSYS`; C libraries fall back to `clone`',
    calls: [['clone3', { words: [NEW.user, 0, 0, 0, SIGCHLD, 0, 0, 0] }, 64]],
    gives: ['ENOSYS'],
  },
  {
    id: 'setns',
    family: 'privilege',
    tries: 'enter a namespace by an open file of /proc, or by a pidfd',
    contained: '`EPERM` (seccomp); `pidfd_open` is refused as well',
    calls: [
      ['open', '/proc/self/ns/user', 0],
      ['setns', { result: 0 }, NEW.user],
      ['setns', { result: 0 }, 0],
      ['pidfd_open', 1, 0],
    ],
    gives: ['ok', 'EPERM', 'EPERM', 'EPERM'],
  },
  {
    id: 'set-ids',
    family: 'privilege',
    tries: 'become root: `setuid(0)` and its nine relatives, `setgroups`, `setfsuid`',
    contained: '`EPERM` (seccomp; no capability either)',
    calls: [
      ...['setuid', 'setgid', 'setfsuid', 'setfsgid'].map((name): CallText => [name, 0]),
      ...['setreuid', 'setregid'].map((name): CallText => [name, 0, 0]),
      ...['setresuid', 'setresgid'].map((name): CallText => [name, 0, 0, 0]),
      ['setgroups', 1, { words: [0] }],
    ],
  },
  {
    id: 'capset',
    family: 'privilege',
    tries: 'give itself capabilities, or take `no_new_privs` back',
    contained: '`EPERM` (seccomp); the kernel never clears `no_new_privs` (`EINVAL`)',
    calls: [
      ['capset', { words: [0x20080522] }, { words: [-1, -1, -1] }],
      ['prctl', 38, 0, 0, 0, 0],
      ['prctl', 47, 2, 21, 0, 0],
    ],
    gives: ['EPERM', 'EINVAL', 'EPERM'],
  },
  {
    id: 'mount',
    family: 'privilege',
    tries: 'mount: tmpfs, proc, sysfs, cgroup2, a bind, / again as writable; unmount /tmp and a masked file',
    contained: '`EPERM` (seccomp)',
    calls: [
      ...['tmpfs', 'proc', 'sysfs', 'cgroup2', 'overlay', 'devpts'].map(
        (kind): CallText => ['mount', kind, '/tmp', kind, 0, 0],
      ),
      ['mount', '/', '/tmp', 0, 0x1000, 0],
      ['mount', 0, '/', 0, 0x1020, 0],
      ['umount2', '/tmp', 2],
      ['umount2', '/proc/kcore', 2],
    ],
  },
  {
    id: 'new-mounts',
    family: 'privilege',
    tries: 'the same with the newer calls: `open_tree`, `move_mount`, `fsopen`, `fsmount`, `fspick`, `mount_setattr`',
    contained: '`EPERM` (seccomp)',
    calls: [
      ['open_tree', AT_FDCWD, '/', 1],
      ['move_mount', AT_FDCWD, '/tmp', AT_FDCWD, '/dev', 0],
      ['fsopen', TMPFS, 0],
      ['fsconfig', 3, 6, 0, 0, 0],
      ['fsmount', 3, 0, 0],
      ['fspick', AT_FDCWD, '/', 0],
      ['mount_setattr', AT_FDCWD, '/', 0x8000, ROOM, 32],
      ['open_tree_attr', AT_FDCWD, '/', 1, ROOM, 32],
      ['statmount', ROOM, ROOM, 512, 0],
      ['listmount', ROOM, ROOM, 16, 0],
    ],
  },
  {
    id: 'chroot',
    family: 'privilege',
    tries: '`chroot` and `pivot_root` out of its root',
    contained: '`EPERM` (seccomp)',
    calls: [
      ['chroot', '/tmp'],
      ['pivot_root', '/tmp', '/tmp'],
    ],
  },
]

const files: readonly KernelAttack[] = [
  {
    id: 'open-by-handle',
    family: 'files',
    tries: 'open files past its root by handle (`open_by_handle_at`)',
    contained: '`EPERM` (seccomp), `name_to_handle_at` too',
    calls: [
      ['name_to_handle_at', AT_FDCWD, '/', ROOM, ROOM, 0],
      ['open_by_handle_at', AT_FDCWD, { words: [0x1_0000_0008, 2, 0] }, 0],
    ],
  },
  {
    id: 'mknod',
    family: 'files',
    tries: 'make device nodes: memory, a disk, /dev/kvm',
    contained: '`EPERM` (kernel: no capability); /tmp is `nodev`, the device cgroup lets nothing else through',
    calls: [
      ['mknod', '/tmp/memory', 0o020666, 0x101],
      ['mknod', '/tmp/disk', 0o060666, 0x700],
      ['mknodat', AT_FDCWD, '/tmp/kvm', 0o020666, 0xae8],
    ],
  },
  {
    id: 'chown',
    family: 'files',
    tries: 'give files away to root, or give them capabilities of their own',
    contained: '`EPERM` (kernel)',
    calls: [
      ['creat', '/tmp/given', 0o755],
      ['chown', '/tmp/given', 0, 0],
      ['chown', '/tmp/given', 1, 1],
      ['setxattr', '/tmp/given', 'security.capability', { words: [0x0200_0001, -1, -1] }, 20, 0],
    ],
    gives: ['ok', 'EPERM', 'EPERM|EINVAL', 'EPERM|EINVAL|EOPNOTSUPP'],
  },
]

const refused = (id: string, tries: string, ...calls: CallText[]): KernelAttack => {
  return { id, family: 'kernel', tries, contained: '`EPERM` (seccomp)', calls }
}

const kernel: readonly KernelAttack[] = [
  refused(
    'io-uring',
    'work past seccomp with io_uring',
    ['io_uring_setup', 8, ROOM],
    ['io_uring_enter', 0, 0, 0, 0, 0],
    ['io_uring_register', 0, 0, 0, 0],
  ),
  refused('bpf', 'load eBPF programs and maps', ['bpf', 0, ROOM, 128], ['bpf', 5, ROOM, 128]),
  refused('userfaultfd', 'hold the kernel at page faults (`userfaultfd`)', ['userfaultfd', 0], ['userfaultfd', 1]),
  refused('perf', 'read the host’s performance counters', ['perf_event_open', ROOM, 0, -1, -1, 0]),
  refused(
    'keys',
    'read and fill the kernel’s key rings, which know no namespaces',
    ['keyctl', 0, -3, 1],
    ['add_key', 'user', 'k', 'v', 1, -4],
    ['request_key', 'user', 'k', 0, 0],
  ),
  refused(
    'modules',
    'load kernel code: modules, kexec',
    ['init_module', ROOM, 16, ''],
    ['finit_module', 0, '', 0],
    ['delete_module', 'loop', 0],
    ['kexec_load', 0, 0, ROOM, 0],
    ['kexec_file_load', 0, 0, 0, '', 0],
  ),
  refused(
    'machine',
    'act on the machine: `reboot`, swap, clocks, host name, accounting, quotas, I/O ports, the kernel’s log',
    ['reboot', 0xfee1dead, 672274793, 0, 0],
    ['swapon', '/tmp/swap', 0],
    ['swapoff', '/tmp/swap'],
    ['settimeofday', ROOM, 0],
    ['clock_settime', 0, ROOM],
    ['adjtimex', ROOM],
    ['clock_adjtime', 0, ROOM],
    ['sethostname', 'mine', 4],
    ['setdomainname', 'mine', 4],
    ['acct', '/tmp/acct'],
    ['quotactl', 0, '/dev/sda', 0, 0],
    ['iopl', 3],
    ['ioperm', 0, 1, 1],
    ['syslog', 3, ROOM, 512],
    ['vhangup'],
  ),
  refused(
    'rare',
    'use rarely used calls with a history of holes: `personality`, `modify_ldt`, `lookup_dcookie`, `fanotify`, `move_pages`, `mbind`, …',
    ['personality', 0x0040000],
    ['modify_ldt', 0, ROOM, 512],
    ['lookup_dcookie', 0, ROOM, 512],
    ['fanotify_init', 0, 0],
    ['io_setup', 1, ROOM],
    ['move_pages', 0, 0, 0, 0, 0],
    ['mbind', ROOM, 4096, 0, 0, 0],
    ['set_mempolicy', 0, 0, 0],
    ['migrate_pages', 0, 0, 0, 0],
    ['kcmp', 1, 1, 0, 0, 0],
    ['remap_file_pages', ROOM, 0, 0, 0, 0],
    ['ustat', 0, ROOM],
    ['sysfs', 3],
    ['uselib', '/tmp/caller'],
    ['nfsservctl', 0, 0, 0],
    ['memfd_secret', 0],
    ['map_shadow_stack', 0, 4096, 0],
  ),
  {
    id: 'i386',
    family: 'kernel',
    tries: 'go round the allow-list by the 32-bit system calls (`int 0x80`)',
    contained: 'killed at the first one (seccomp: the host’s own ABI only)',
    calls: [['i386:20']],
    killedBy: 'SIGSYS',
  },
  {
    id: 'x32',
    family: 'kernel',
    tries: 'go round it by the x32 table',
    contained: 'killed at the first one (seccomp)',
    calls: [['x32:39']],
    killedBy: 'SIGSYS',
  },
  {
    id: 'ioctl',
    family: 'kernel',
    tries:
      'type into a terminal (`TIOCSTI`, also with bits above 32 that seccomp compares and the kernel drops), set a namespace’s or loop device’s ioctls going',
    contained: '`EPERM` (seccomp knows the harmless ioctls by number, over 32 bits)',
    calls: [
      ['ioctl', 0, 0x5412, 'x'],
      ['ioctl', 0, 0x1_0000_5412, 'x'],
      ['ioctl', 0, 0x541c, 'x'],
      ['ioctl', 0, 0xb702],
      ['ioctl', 0, 0x4c82],
    ],
  },
  {
    id: 'rise',
    family: 'kernel',
    tries: 'raise what bounds it: rlimits, nice value, real-time scheduling, I/O priority',
    contained: '`EPERM` and `EACCES` (kernel: no capability; seccomp: `ioprio_set`)',
    calls: [
      ['setrlimit', 7, { words: [1_000_000, 1_000_000] }],
      ['prlimit64', 0, 4, { words: [-1, -1] }, 0],
      ['prlimit64', 0, 11, { words: [1_000_000, 1_000_000] }, 0],
      ['setpriority', 0, 0, -20],
      ['sched_setscheduler', 0, 1, { words: [50] }],
      ['ioprio_set', 1, 0, 0x2000],
    ],
    gives: ['EPERM', 'EPERM', 'EPERM', 'EACCES|EPERM', 'EPERM', 'EPERM'],
  },
]

const processes: readonly KernelAttack[] = [
  {
    id: 'ptrace',
    family: 'processes',
    tries: 'trace other processes, read and write their memory',
    contained: '`EPERM` (seccomp)',
    calls: [
      ['ptrace', 0, 0, 0, 0],
      ['ptrace', 16, 1, 0, 0],
      ['process_vm_readv', 1, ROOM, 1, ROOM, 1, 0],
      ['process_vm_writev', 1, ROOM, 1, ROOM, 1, 0],
      ['process_madvise', 1, ROOM, 1, 4, 0],
    ],
  },
  {
    id: 'pidfd',
    family: 'processes',
    tries: 'take descriptors out of other processes (`pidfd_getfd`), signal them by pidfd',
    contained: '`EPERM` (seccomp)',
    calls: [
      ['pidfd_open', 1, 0],
      ['pidfd_getfd', 3, 0, 0],
      ['pidfd_send_signal', 3, 9, 0, 0],
    ],
  },
  {
    id: 'ipc',
    family: 'processes',
    tries: 'meet others in System V shared memory, semaphores and message queues, or POSIX queues',
    contained: '`EPERM` (seccomp; an IPC namespace of its own besides)',
    calls: [
      ['shmget', 0x1234, 4096, 0o1666],
      ['shmat', 0, 0, 0],
      ['semget', 0x1234, 1, 0o1666],
      ['msgget', 0x1234, 0o1666],
      ['mq_open', 'q', 0o102, 0o666, 0],
    ],
  },
]

const AF_INET = 2
const SOCK_RAW = 3
/** Families of sockets there are, but UNIX, INET and INET6: AF_ALG is 38, AF_VSOCK 40, AF_PACKET 17, AF_NETLINK 16. */
const OTHER_FAMILIES = [...Array(46).keys()].filter((family) => ![0, 1, AF_INET, 10].includes(family))

const sockets: readonly KernelAttack[] = [
  {
    id: 'socket-families',
    family: 'sockets',
    tries: 'open sockets of every other family: `AF_VSOCK` to the hypervisor, `AF_ALG`, `AF_NETLINK`, `AF_PACKET`, …',
    contained: '`EPERM` (seccomp knows `AF_UNIX`, `AF_INET`, `AF_INET6`)',
    calls: OTHER_FAMILIES.map((family): CallText => ['socket', family, 2, 0]),
  },
  {
    id: 'raw-sockets',
    family: 'sockets',
    tries: 'open raw sockets',
    contained: '`EPERM` (kernel: no capability)',
    calls: [
      ['socket', AF_INET, SOCK_RAW, 1],
      ['socket', 10, SOCK_RAW, 58],
    ],
  },
]

const LAST_NUMBER = 600
/** uretprobe and uprobe pass every seccomp filter since Linux 6.14, and kill who calls them but from the kernel's own trampoline. */
const PROBES = [335, 336]
const ALLOWED = new Set(
  seccompProfile('x64', { lingers: true })
    .syscalls.flatMap((rule) => (rule.action === 'SCMP_ACT_ALLOW' ? rule.names : []))
    .map((name) => X86_64_CALLS.get(name)),
)

const everyCall: KernelAttack = {
  id: 'every-call',
  family: 'kernel',
  tries: 'make every system call that is not on the list, by number, those without a name among them',
  contained: '`EPERM`; `ENOSYS` for `clone3` and what is newer than the OCI runtime’s seccomp library',
  calls: [...Array(LAST_NUMBER).keys()]
    .filter((number) => !ALLOWED.has(number) && !PROBES.includes(number))
    .map((number): CallText => [`#${number}`, 0, 0, 0, 0, 0, 0]),
}

export const KERNEL_ATTACKS: readonly KernelAttack[] = [
  ...privilege,
  ...files,
  ...kernel,
  ...processes,
  ...sockets,
  everyCall,
]
