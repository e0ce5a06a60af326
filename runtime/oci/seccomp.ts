// The system calls code inside a sandbox may make: an own allow-list, one family a row, each with its reason. Pure. Whatever is
// not here fails with EPERM (what is newer than the OCI runtime's library: ENOSYS); the host's own ABI only, others are killed.
// Calls that could use up something the kernel counts for the whole machine are judged by their arguments.
// Which of these a well-known profile forbids, and the reverse, with reasons: test/attack/seccomp.test.ts.

import { SOCKET_OPTIONS } from './socket-options.ts'

/** One rule of an OCI seccomp section. */
export interface SeccompRule {
  readonly names: readonly string[]
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO'
  readonly errnoRet?: number
  readonly args?: readonly {
    readonly index: number
    /** Of MASKED_EQ the mask. */
    readonly value: number
    /** Of MASKED_EQ what must be left under the mask. */
    readonly valueTwo?: number
    readonly op: 'SCMP_CMP_EQ' | 'SCMP_CMP_MASKED_EQ'
  }[]
}

export interface SeccompProfile {
  readonly defaultAction: 'SCMP_ACT_ERRNO'
  readonly defaultErrnoRet: number
  readonly architectures: readonly string[]
  readonly syscalls: readonly SeccompRule[]
}

const EPERM = 1
const ENOSYS = 38
/** CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET */
const CLONE_NAMESPACES = 0x7e020000
const AF_UNIX = 1
const AF_INET = 2
const AF_INET6 = 10
/** `type` of socket(2), whose higher bits are flags. */
const SOCKET_TYPE = 0xf
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const IPPROTO_TCP = 6
const IPPROTO_UDP = 17
const EINVAL = 22
/** Take pages of the machine's pool of huge pages, which no memory limit counts. */
const MAP_HUGETLB = 0x4_0000
const MFD_HUGETLB = 4

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' }

/** Calls that may be made with whatever arguments. */
export interface CallFamily {
  /** Why code needs them, and what bounds them. */
  readonly reason: string
  /** Names, by a space; one an architecture does not have is skipped by the OCI runtime. */
  readonly calls: string
}

/** Families of harmless calls. */
export const ALLOWED_FAMILIES: Readonly<Record<string, CallFamily>> = {
  memory: {
    reason: 'V8’s heap, JIT pages and stacks; protection keys guard its code space. Bounded by the memory limit.',
    calls:
      'brk munmap mremap mprotect madvise mincore msync mlock mlock2 munlock mlockall munlockall ' +
      'membarrier pkey_alloc pkey_free pkey_mprotect mseal process_mrelease',
  },
  files: {
    reason: 'Files as such: bounded by the read-only root, modes, and the sizes of /tmp and /scratch.',
    calls:
      'read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open openat openat2 creat close ' +
      'close_range lseek dup dup2 dup3 flock fsync fdatasync sync_file_range syncfs truncate ftruncate fallocate ' +
      'fadvise64 readahead sendfile copy_file_range splice tee',
  },
  names: {
    reason:
      'Names of files. Without inotify: its instances are counted with the host’s root, 128 for all sandboxes together.',
    calls:
      'stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd ' +
      'chdir fchdir rename renameat renameat2 mkdir mkdirat rmdir link linkat unlink unlinkat symlink symlinkat mknod ' +
      'mknodat chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat statfs ' +
      'fstatfs umask',
  },
  attributes: {
    reason: 'Extended attributes of own files.',
    calls:
      'getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr removexattr ' +
      'lremovexattr fremovexattr',
  },
  events: {
    reason: 'libuv’s loop, pipes and timers.',
    calls:
      'poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd ' +
      'eventfd2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime pipe pipe2',
  },
  processes: {
    reason: 'Threads and children, within the sandbox’s own pid namespace and pids limit.',
    calls:
      'fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill rt_sigaction rt_sigprocmask ' +
      'rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack ' +
      'restart_syscall setpgid getpgid getpgrp setsid getsid set_tid_address set_robust_list get_robust_list rseq futex ' +
      'futex_waitv arch_prctl',
  },
  scheduling: {
    reason: 'The kernel refuses real-time and lower nice values to who has no capability.',
    calls:
      'sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler sched_setscheduler ' +
      'sched_getattr sched_get_priority_max sched_get_priority_min sched_rr_get_interval getpriority setpriority getcpu',
  },
  identity: {
    reason: 'Asking who one is. Limits can only be lowered.',
    calls:
      'getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups capget uname sysinfo times ' +
      'getrusage getrlimit setrlimit prlimit64',
  },
  time: {
    reason: 'Clocks and timers. Signals that wait, timers among them, are bounded by an rlimit.',
    calls:
      'clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time timer_create timer_settime timer_gettime ' +
      'timer_getoverrun timer_delete getitimer setitimer alarm pause',
  },
  random: { reason: 'Randomness.', calls: 'getrandom' },
  sockets: {
    reason:
      'What is reachable is decided by the network namespace, which families exist by the rules on `socket`, what may be ' +
      'set by those on `setsockopt`.',
    calls:
      'connect bind listen accept accept4 getsockname getpeername getsockopt sendto recvfrom sendmsg recvmsg ' +
      'sendmmsg recvmmsg shutdown',
  },
}

type ArgumentTest = NonNullable<SeccompRule['args']>[number]

/** The kernel reads 32 bits of some arguments that seccomp compares as 64: only what is compared by mask cannot be fooled. */
const low32 = (index: number, value: number, mask = 0xffff_ffff): ArgumentTest => {
  return { index, value: mask, valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' }
}
/** Sixteen numbers that begin here. */
const SIXTEEN = 0xffff_fff0

/** Requests of ioctl: [value, mask]. Among those left out are TIOCSTI and TIOCLINUX, which type into a terminal. */
const IOCTLS: readonly (readonly [value: number, mask?: number])[] = [
  [0x5400, SIXTEEN], // TCGETS … TIOCGPGRP: is it a terminal?
  [0x5410], // TIOCSPGRP
  [0x5411], // TIOCOUTQ, SIOCOUTQ
  [0x5413], // TIOCGWINSZ
  [0x5414], // TIOCSWINSZ
  [0x541b], // FIONREAD
  [0x5421], // FIONBIO
  [0x5450, SIXTEEN], // FIONCLEX, FIOCLEX, FIOASYNC
  [0x802c_542a], // TCGETS2
  [0x8905], // SIOCATMARK
  [0x8910, SIXTEEN], // SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS, … (setting needs a capability)
  [0x8920, SIXTEEN], // SIOCGIFMTU, SIOCGIFHWADDR, …
  [0x8930, SIXTEEN], // SIOCGIFINDEX
  [0x4004_9409], // FICLONE
  [0x4020_940d], // FICLONERANGE
  [0x8008_6601], // FS_IOC_GETFLAGS
]

/** Commands of fcntl: [value, mask]. Locks of an open file description (F_OFD_…) name no process, so a sandbox that held too many could
 *  not be found; leases and F_NOTIFY are for file servers. */
const FCNTLS: readonly (readonly [value: number, mask?: number])[] = [
  [0, 0xffff_fff8], // F_DUPFD … F_SETLKW
  [8, 0xffff_fffc], // F_SETOWN … F_GETSIG
  [1030], // F_DUPFD_CLOEXEC
  [1031], // F_SETPIPE_SZ
  [1032], // F_GETPIPE_SZ
  [1033], // F_ADD_SEALS
  [1034], // F_GET_SEALS
]

/** Options of prctl: [value, mask]. Among those left out are PR_SET_SECCOMP (22), whose filters are counted for the whole
 *  machine (net.core.bpf_jit_limit), PR_SCHED_CORE (62), which keeps the other thread of a core idle for others, and
 *  PR_SET_MEMORY_MERGE (67), which lets memory be compared with theirs. */
const PRCTLS: readonly (readonly [value: number, mask?: number])[] = [
  [0, SIXTEEN],
  [16, 0xffff_fffc],
  [20, 0xffff_fffe],
  [23],
  [24, 0xffff_fff8],
  [32, SIXTEEN],
  [48, 0xffff_fff8],
  [56, 0xffff_fffc],
  [60, 0xffff_fffe],
]
const PR_SET_MDWE = 65
const PR_GET_MDWE = 66
/** Names anonymous memory for /proc/self/maps. */
const PR_SET_VMA = 0x5356_4d41

const allow = (name: string, ...tests: ArgumentTest[]): SeccompRule => {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args: tests }
}

/** Sockets by family, type and protocol. SECURITY: other protocols of the same families (MPTCP, UDP-Lite, SCTP, …) are more of
 *  the kernel, and the first socket of one loads its module. */
function socketRules(): SeccompRule[] {
  const equals = (index: number, value: number): ArgumentTest => ({ index, value, op: 'SCMP_CMP_EQ' })
  const internet = [AF_INET, AF_INET6].flatMap((family) =>
    [
      [SOCK_STREAM, 0],
      [SOCK_STREAM, IPPROTO_TCP],
      [SOCK_DGRAM, 0],
      [SOCK_DGRAM, IPPROTO_UDP],
    ].map(([type, protocol]) => allow('socket', equals(0, family), low32(1, type!, SOCKET_TYPE), low32(2, protocol!))),
  )
  return [allow('socket', equals(0, AF_UNIX)), ...internet, allow('socketpair', equals(0, AF_UNIX))]
}

function socketOptionRules(lingers: boolean): SeccompRule[] {
  return SOCKET_OPTIONS.flatMap(({ level, options }) =>
    Object.entries(options)
      .filter(([name]) => lingers || name !== 'SO_LINGER')
      .map(([, option]) => allow('setsockopt', low32(1, level), low32(2, option))),
  )
}

/** Calls that may be made with some arguments only. */
function filteredCalls(lingers: boolean): SeccompRule[] {
  return [
    // SECURITY: a new user namespace would bring capabilities back, and with them most of the kernel.
    allow('clone', low32(0, 0, CLONE_NAMESPACES)),
    // Its flags lie in memory, where seccomp cannot look; the C library falls back to clone on ENOSYS.
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
    ...IOCTLS.map(([value, mask]) => allow('ioctl', low32(1, value, mask))),
    ...PRCTLS.map(([value, mask]) => allow('prctl', low32(0, value, mask))),
    ...[PR_SET_MDWE, PR_GET_MDWE, PR_SET_VMA].map((value) => allow('prctl', low32(0, value))),
    ...FCNTLS.map(([value, mask]) => allow('fcntl', low32(1, value, mask))),
    // What a kernel without them says: a program then does without.
    ...[36, 37, 38].map((value): SeccompRule => {
      return { names: ['fcntl'], action: 'SCMP_ACT_ERRNO', errnoRet: EINVAL, args: [low32(1, value)] }
    }),
    allow('mmap', low32(3, 0, MAP_HUGETLB)),
    allow('memfd_create', low32(1, 0, MFD_HUGETLB)),
    ...socketRules(),
    ...socketOptionRules(lingers),
  ]
}

/** The profile for a Node architecture name (`x64`, `arm64`). `lingers`: sockets may linger at their close (SO_LINGER), as they may
 *  where none can be passed to the platform. Throws an Error for an architecture it has no rules for. */
export function seccompProfile(arch: string, { lingers }: { readonly lingers: boolean }): SeccompProfile {
  const architecture = ARCHITECTURES[arch]
  if (architecture === undefined) {
    throw new Error(`no seccomp profile for ${arch}; known: ${Object.keys(ARCHITECTURES).join(' ')}`)
  }
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    architectures: [architecture],
    syscalls: [
      { names: Object.values(ALLOWED_FAMILIES).flatMap(({ calls }) => calls.split(' ')), action: 'SCMP_ACT_ALLOW' },
      ...filteredCalls(lingers),
    ],
  }
}
