// Mounts of sandboxes as typed calls: overlay, tmpfs, ext4, idmapped copies; and their removal, which accepts "already gone".
// Decides no layout and keeps no list: who mounts, unmounts.
import { closeSync, constants, openSync, readFileSync } from 'node:fs'
import { AtOnce } from './at-once.ts'
import {
  attachMount,
  cloneMount,
  cloneMountOf,
  MOUNT_ATTR,
  MS,
  mount,
  mountApart,
  SystemError,
  setMountAttributes,
  umount,
  umountApart,
} from './syscalls.ts'

const O_PATH = 0o10000000

/** A copy-on-write upper side; both folders on the same file system. */
export interface OverlayUpper {
  readonly upperDir: string
  readonly workDir: string
}

/** Mounts `layers` (lowest first, at least two without an upper) over each other at `target`. Read-only without `upper`. */
export function mountOverlay(layers: readonly string[], upper: OverlayUpper | null, target: string): void {
  const fds: number[] = []
  const handle = (path: string) => {
    const fd = openSync(path, O_PATH | constants.O_DIRECTORY)
    fds.push(fd)
    // SECURITY: the options are readable inside in /proc/mounts; a descriptor's name tells nothing about the host,
    // needs no escaping of `:` and `,`, and keeps the options below one page however deep the state directory lies.
    return `/proc/self/fd/${fd}`
  }
  try {
    const lower = layers.toReversed().map(handle).join(':')
    const options = [`lowerdir=${lower}`]
    if (upper !== null) options.push(`upperdir=${handle(upper.upperDir)}`, `workdir=${handle(upper.workDir)}`)
    const flags = MS.noSuid | MS.noDev | (upper === null ? MS.readOnly : 0)
    mount('overlay', target, 'overlay', flags, options.join(','))
  } finally {
    for (const fd of fds) closeSync(fd)
  }
}

/** A tmpfs bounded in bytes and inodes, owned by root, mode 0755. */
export function mountTmpfs(target: string, sizeBytes: number, inodes: number): void {
  mount('tmpfs', target, 'tmpfs', MS.noSuid | MS.noDev, `size=${sizeBytes},nr_inodes=${inodes},mode=755`)
}

/** Mounting and unmounting of disks at once: each has a thread of libuv's pool for as long as the disk takes, and files need some. */
const DISKS = new AtOnce(2)

/** A disk for user data: every write is synchronous, so that the kernel's throttles and counters see it. Off the event loop. */
export function mountScratch(device: string, target: string): Promise<void> {
  const flags = MS.noSuid | MS.noDev | MS.synchronous
  return DISKS.run(() => mountApart(device, target, 'ext4', flags, 'noinit_itable'))
}

/** A plain writable ext4 mount. Off the event loop. */
export function mountExt4(device: string, target: string): Promise<void> {
  return DISKS.run(() => mountApart(device, target, 'ext4', MS.noSuid | MS.noDev, 'noinit_itable'))
}

/** Mounts a read-only copy of folder `source` at `target` whose owners are translated by the user namespace `usernsFd`. */
export function mountIdmapped(source: string, usernsFd: number, target: string): void {
  const fd = cloneMount(source)
  try {
    // ORDER: read-only and idmapped before it is attached anywhere: an attached mount cannot be idmapped any more.
    setMountAttributes(fd, MOUNT_ATTR.idmap | MOUNT_ATTR.readOnly | MOUNT_ATTR.noSuid | MOUNT_ATTR.noDev, usernsFd)
    attachMount(fd, target)
  } finally {
    closeSync(fd)
  }
}

/** Mounts a copy of the open folder `folderFd` at `target`, its owners translated by `usernsFd` where that is given.
 *  Throws SystemError EINVAL when the file system cannot translate owners. */
export function mountVolume(folderFd: number, usernsFd: number | null, readOnly: boolean, target: string): void {
  const fd = cloneMountOf(folderFd)
  try {
    const idmap = usernsFd === null ? 0 : MOUNT_ATTR.idmap
    // ORDER: before it is attached anywhere, so that there is no instant at which read-only is not true.
    const attributes = MOUNT_ATTR.noSuid | MOUNT_ATTR.noDev | (readOnly ? MOUNT_ATTR.readOnly : 0) | idmap
    setMountAttributes(fd, attributes, usernsFd)
    attachMount(fd, target)
  } finally {
    closeSync(fd)
  }
}

/** As `unmount`, off the event loop: for what functions wrote to. The kernel writes what is not yet on the disk, and frees a
 *  tmpfs page by page, before it returns. */
export async function unmountApart(target: string): Promise<void> {
  try {
    await DISKS.run(() => umountApart(target, false))
  } catch (error) {
    const code = error instanceof SystemError ? error.code : ''
    if (code === 'EINVAL' || code === 'ENOENT') return
    if (code !== 'EBUSY') throw error
    await DISKS.run(() => umountApart(target, true))
  }
}

/** Unmounts `target`; lazily when it is busy; nothing to do when it is not a mount or not there. */
export function unmount(target: string): void {
  try {
    umount(target, false)
  } catch (error) {
    const code = error instanceof SystemError ? error.code : ''
    if (code === 'EINVAL' || code === 'ENOENT') return
    if (code !== 'EBUSY') throw error
    umount(target, true)
  }
}

/** Mount points at or below `prefix`, deepest (latest) first, from the text of /proc/self/mountinfo. */
export function mountsUnder(prefix: string, mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')): string[] {
  const found: string[] = []
  for (const line of mountinfo.split('\n')) {
    const target = decodeOctal(line.split(' ')[4] ?? '')
    if (target === prefix || target.startsWith(`${prefix}/`)) found.push(target)
  }
  return found.reverse()
}

/** mountinfo writes space, tab, newline and backslash as `\040`. */
function decodeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_match, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
