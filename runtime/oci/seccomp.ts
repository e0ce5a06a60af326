// The system calls code inside a sandbox may make: an own allow-list, one family a line group, each with its reason.
// Pure. Whatever is not here fails with EPERM; the host's own ABI only (others are killed), which also starts faster.

/** One rule of an OCI seccomp section. */
export interface SeccompRule {
  readonly names: readonly string[]
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO'
  readonly errnoRet?: number
  readonly args?: readonly {
    readonly index: number
    readonly value: number
    readonly valueTwo?: number
    readonly op: 'SCMP_CMP_EQ' | 'SCMP_CMP_NE' | 'SCMP_CMP_MASKED_EQ'
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
/** Pushes characters into a terminal as if typed: the classic way out of a shared tty. */
const TIOCSTI = 0x5412
const AF_UNIX = 1
const AF_INET = 2
const AF_INET6 = 10

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' }

/** Families of harmless calls. Names an architecture does not have are skipped by the OCI runtime. */
const ALLOWED: Readonly<Record<string, string>> = {
  // V8's heap, JIT pages and stacks; protection keys guard its code space.
  memory:
    'brk mmap munmap mremap mprotect madvise mincore msync mlock mlock2 munlock mlockall munlockall memfd_create ' +
    'membarrier pkey_alloc pkey_free pkey_mprotect mseal process_mrelease',
  // Files as such: bounded by the read-only root, modes, and the sizes of /tmp and /scratch.
  files:
    'read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open openat openat2 creat close ' +
    'close_range lseek dup dup2 dup3 fcntl flock fsync fdatasync sync_file_range syncfs truncate ftruncate fallocate ' +
    'fadvise64 readahead sendfile copy_file_range splice tee vmsplice',
  names:
    'stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd chdir ' +
    'fchdir rename renameat renameat2 mkdir mkdirat rmdir link linkat unlink unlinkat symlink symlinkat mknod mknodat ' +
    'chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat statfs fstatfs umask ' +
    'inotify_init inotify_init1 inotify_add_watch inotify_rm_watch',
  attributes:
    'getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr removexattr ' +
    'lremovexattr fremovexattr',
  // libuv's loop, pipes and timers.
  events:
    'poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd ' +
    'eventfd2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime pipe pipe2',
  // Threads and children, within the sandbox's own pid namespace and pids limit.
  processes:
    'fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill rt_sigaction rt_sigprocmask rt_sigreturn ' +
    'rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack restart_syscall ' +
    'setpgid getpgid getpgrp setsid getsid set_tid_address set_robust_list get_robust_list rseq futex futex_waitv ' +
    'arch_prctl prctl',
  scheduling:
    'sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler sched_setscheduler ' +
    'sched_getattr sched_get_priority_max sched_get_priority_min sched_rr_get_interval getpriority setpriority getcpu',
  identity:
    'getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups capget uname sysinfo times ' +
    'getrusage getrlimit setrlimit prlimit64',
  time:
    'clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time timer_create timer_settime timer_gettime ' +
    'timer_getoverrun timer_delete getitimer setitimer alarm pause',
  random: 'getrandom',
  // What is reachable is decided by the network namespace, which families exist by the socket rules below.
  sockets:
    'connect bind listen accept accept4 getsockname getpeername setsockopt getsockopt sendto recvfrom sendmsg recvmsg ' +
    'sendmmsg recvmmsg shutdown',
}

/** The profile for a Node architecture name (`x64`, `arm64`). Throws an Error for one it has no rules for. */
export function seccompProfile(arch: string): SeccompProfile {
  const architecture = ARCHITECTURES[arch]
  if (architecture === undefined) {
    throw new Error(`no seccomp profile for ${arch}; known: ${Object.keys(ARCHITECTURES).join(' ')}`)
  }
  const allowed = Object.values(ALLOWED).flatMap((family) => family.split(' '))
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    architectures: [architecture],
    syscalls: [
      { names: allowed, action: 'SCMP_ACT_ALLOW' },
      // SECURITY: a new user namespace would bring capabilities back, and with them most of the kernel.
      {
        names: ['clone'],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 0, value: CLONE_NAMESPACES, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
      },
      // Its flags lie in memory, where seccomp cannot look; the C library falls back to clone on ENOSYS.
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
      {
        names: ['ioctl'],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 1, value: TIOCSTI, op: 'SCMP_CMP_NE' }],
      },
      ...[AF_UNIX, AF_INET, AF_INET6].map(
        (family): SeccompRule => ({
          names: ['socket'],
          action: 'SCMP_ACT_ALLOW',
          args: [{ index: 0, value: family, op: 'SCMP_CMP_EQ' }],
        }),
      ),
      {
        names: ['socketpair'],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 0, value: AF_UNIX, op: 'SCMP_CMP_EQ' }],
      },
    ],
  }
}
