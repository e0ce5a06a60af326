// The system calls Node has no binding for, through koffi: each throws a SystemError with errno's name and the path.
// Thin and typed, nothing else: what is mounted where and when is decided by mounts.ts, loop.ts and their callers.
import { getSystemErrorName } from 'node:util'
import koffi from 'koffi'

const libc = koffi.load('libc.so.6')
const call = {
  mount: libc.func(
    'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
  ),
  umount2: libc.func('int umount2(const char *target, int flags)'),
  flock: libc.func('int flock(int fd, int operation)'),
  socketpair: libc.func('int socketpair(int domain, int type, int protocol, void *descriptors)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, const void *value, unsigned int size)'),
  prctl: libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)'),
  waitpid: libc.func('int waitpid(int pid, void *status, int options)'),
  ioctlNumber: libc.func('int ioctl(int fd, unsigned long request, long argument)'),
  ioctlBuffer: libc.func('int ioctl(int fd, unsigned long request, void *argument)'),
  // The new mount calls have the same numbers on every architecture; older C libraries lack wrappers for them.
  openTree: libc.func('long syscall(long number, int dirfd, const char *path, unsigned int flags)'),
  moveMount: libc.func(
    'long syscall(long number, int from, const char *fromPath, int to, const char *toPath, unsigned int flags)',
  ),
  mountSetattr: libc.func(
    'long syscall(long number, int fd, const char *path, unsigned int flags, void *attributes, size_t size)',
  ),
  openat2: libc.func('long syscall(long number, int dirfd, const char *path, void *how, size_t size)'),
}
const SYS_OPEN_TREE = 428
const SYS_MOVE_MOUNT = 429
const SYS_OPENAT2 = 437
const SYS_MOUNT_SETATTR = 442
const AT_FDCWD = -100

/** A failed system call: `code` is errno's name (`ENOENT`), `path` what it was about. */
export class SystemError extends Error {
  readonly code: string
  readonly syscall: string
  readonly path: string
  constructor(syscall: string, code: string, path: string) {
    super(`${syscall} ${path}: ${code}`)
    this.name = 'SystemError'
    this.code = code
    this.syscall = syscall
    this.path = path
  }
}

function checked(result: number, syscall: string, path: string): number {
  if (result >= 0) return result
  throw new SystemError(syscall, getSystemErrorName(-koffi.errno()), path)
}

/** Flags of mount(2) used here. */
export const MS = {
  readOnly: 1,
  noSuid: 2,
  noDev: 4,
  noExec: 8,
  synchronous: 16,
  remount: 32,
  bind: 4096,
  recursive: 16384,
  private: 1 << 18,
} as const

/** mount(2). Throws SystemError. */
export function mount(source: string, target: string, type: string | null, flags: number, data: string | null): void {
  checked(call.mount(source, target, type, flags, data), 'mount', target)
}

/** mount(2) in a thread of libuv's pool: a file system on a busy disk is read before it is mounted. Rejects SystemError. */
export function mountApart(source: string, target: string, type: string, flags: number, data: string): Promise<void> {
  return new Promise((resolve, reject) => {
    call.mount.async(source, target, type, flags, data, settle('mount', target, resolve, reject))
  })
}

/** umount2(2) in a thread of libuv's pool: what is not yet on the disk is written first, and a tmpfs gives its memory back.
 *  Rejects SystemError. */
export function umountApart(target: string, detach: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    call.umount2.async(target, detach ? 2 : 0, settle('umount', target, resolve, reject))
  })
}

/** The callback of such a call; koffi keeps errno for it. */
function settle(syscall: string, path: string, resolve: () => void, reject: (error: unknown) => void) {
  return (error: unknown, result: number): void => {
    if (error !== null) reject(error)
    else if (result >= 0) resolve()
    else reject(new SystemError(syscall, getSystemErrorName(-koffi.errno()), path))
  }
}

/** umount2(2); `detach` unmounts lazily (MNT_DETACH). Throws SystemError. */
export function umount(target: string, detach: boolean): void {
  checked(call.umount2(target, detach ? 2 : 0), 'umount', target)
}

const OPEN_TREE_CLONE = 1
const OPEN_TREE_CLOEXEC = 0o2000000
const AT_EMPTY_PATH = 0x1000

/** open_tree(2) with OPEN_TREE_CLONE: a detached copy of the mount at `path`; the caller closes the descriptor. */
export function cloneMount(path: string): number {
  return checked(call.openTree(SYS_OPEN_TREE, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), 'open_tree', path)
}

/** The same of a folder that is open already, whatever its name leads to by now. */
export function cloneMountOf(fd: number): number {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH
  return checked(call.openTree(SYS_OPEN_TREE, fd, '', flags), 'open_tree', `fd ${fd}`)
}

/** openat2(2): a handle (O_PATH) on the folder `path` below `dirFd`, over no symbolic link and never out of it. Throws
 *  SystemError ELOOP (a link) | EXDEV (leads out) | ENOENT | ENOTDIR. The caller closes the descriptor. */
export function openFolderBeneath(dirFd: number, path: string): number {
  const O_PATH_DIRECTORY_CLOEXEC = 0o10000000 | 0o200000 | 0o2000000
  const RESOLVE_NO_MAGICLINKS = 2
  const RESOLVE_NO_SYMLINKS = 4
  const RESOLVE_BENEATH = 8
  const how = Buffer.alloc(24)
  how.writeBigUInt64LE(BigInt(O_PATH_DIRECTORY_CLOEXEC), 0)
  how.writeBigUInt64LE(BigInt(RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH), 16)
  return checked(call.openat2(SYS_OPENAT2, dirFd, path, how, how.length), 'openat2', path)
}

/** Attributes of mount_setattr(2) used here. */
export const MOUNT_ATTR = { readOnly: 1, noSuid: 2, noDev: 4, idmap: 0x100000 } as const

/** mount_setattr(2) on a detached mount. `usernsFd` matters only with `MOUNT_ATTR.idmap`. */
export function setMountAttributes(fd: number, set: number, usernsFd: number | null): void {
  const attributes = Buffer.alloc(32)
  attributes.writeBigUInt64LE(BigInt(set), 0)
  attributes.writeBigUInt64LE(BigInt(usernsFd ?? 0), 24)
  checked(call.mountSetattr(SYS_MOUNT_SETATTR, fd, '', AT_EMPTY_PATH, attributes, 32), 'mount_setattr', `fd ${fd}`)
}

/** move_mount(2): attaches a detached mount at `target`. */
export function attachMount(fd: number, target: string): void {
  const MOVE_MOUNT_F_EMPTY_PATH = 4
  checked(call.moveMount(SYS_MOVE_MOUNT, fd, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH), 'move_mount', target)
}

/** flock(2), exclusive and without waiting: false when another open file holds it. */
export function tryLock(fd: number, path: string): boolean {
  const LOCK_EX = 2
  const LOCK_NB = 4
  if (call.flock(fd, LOCK_EX | LOCK_NB) === 0) return true
  const code = getSystemErrorName(-koffi.errno())
  if (code === 'EAGAIN' || code === 'EWOULDBLOCK') return false
  throw new SystemError('flock', code, path)
}

/** Makes orphans below this process its own children (PR_SET_CHILD_SUBREAPER), so that `reap` can learn how they ended. */
export function becomeSubreaper(): void {
  const PR_SET_CHILD_SUBREAPER = 36
  checked(call.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 'prctl', 'PR_SET_CHILD_SUBREAPER')
}

/** How a process ended. */
export interface ReapedExit {
  readonly code: number | null
  readonly signal: number | null
}

/** waitpid(2) on exactly this pid, without waiting: `running`, `not-ours` (reaped already, or no child), or how it ended. */
export function reap(pid: number): ReapedExit | 'running' | 'not-ours' {
  const WNOHANG = 1
  const status = Buffer.alloc(4)
  // SECURITY: never −1 or 0: that would take the exits of libuv's own children.
  if (pid <= 0) return 'not-ours'
  const result = call.waitpid(pid, status, WNOHANG)
  if (result === 0) return 'running'
  if (result < 0) return 'not-ours'
  const word = status.readInt32LE(0)
  const signal = word & 0x7f
  return signal === 0 ? { code: (word >> 8) & 0xff, signal: null } : { code: null, signal }
}

/** waitpid(2) on any child, without waiting. Only for a process that has started none itself: the exits of libuv's would be lost. */
export function reapAny(): 'reaped' | 'running' | 'none' {
  const WNOHANG = 1
  const result = call.waitpid(-1, Buffer.alloc(4), WNOHANG)
  return result > 0 ? 'reaped' : result === 0 ? 'running' : 'none'
}

/** ioctl(2) with a number; returns its result. */
export function ioctlNumber(fd: number, request: number, argument: number, path: string): number {
  return checked(call.ioctlNumber(fd, request, argument), 'ioctl', path)
}

/** ioctl(2) with a structure. */
export function ioctlBuffer(fd: number, request: number, argument: Buffer, path: string): number {
  return checked(call.ioctlBuffer(fd, request, argument), 'ioctl', path)
}

const AF_UNIX = 1
const SOCK_STREAM = 1
const SOCK_CLOEXEC = 0o2000000

/** socketpair(2): two connected stream sockets, closed on exec. The caller owns both. */
export function socketPair(): [number, number] {
  const descriptors = Buffer.alloc(8)
  checked(call.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, descriptors), 'socketpair', 'AF_UNIX')
  return [descriptors.readInt32LE(0), descriptors.readInt32LE(4)]
}

const SOL_SOCKET = 1
const SO_PASSRIGHTS = 83
const OFF = Buffer.alloc(4)

/** SO_PASSRIGHTS = 0: from here on no descriptor can be sent to this socket of AF_UNIX (the sender gets EPERM). Without it a
 *  descriptor that is sent and not taken is closed by the reader, and a close may last (SO_LINGER). Not from Linux 5.x, 6.1,
 *  6.12: false there. Source: unix(7); Linux 6.16, "af_unix: Introduce SO_PASSRIGHTS". Throws SystemError for another failure. */
export function refuseDescriptors(fd: number): boolean {
  if (call.setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, OFF, OFF.length) === 0) return true
  const code = getSystemErrorName(-koffi.errno())
  if (code === 'ENOPROTOOPT') return false
  throw new SystemError('setsockopt', code, `fd ${fd} SO_PASSRIGHTS`)
}
