// Loop devices: a file as a disk. Attached with autoclear, so that the last unmount (or the end of a mount namespace)
// frees them by itself even when the platform is killed. Makes no file systems (scratch-disk.ts does).
import { closeSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { ioctlBuffer, ioctlNumber, SystemError } from './syscalls.ts'

const LOOP_CTL_GET_FREE = 0x4c82
const LOOP_CONFIGURE = 0x4c0a
const LOOP_CLR_FD = 0x4c01
const LO_FLAGS_AUTOCLEAR = 4
const LO_FLAGS_PARTSCAN = 8
const LO_FLAGS_DIRECT_IO = 16
const CONFIG_BYTES = 304
const FLAGS_OFFSET = 60
const NAME_OFFSET = 64
const NAME_BYTES = 63
const ATTEMPTS = 16

export interface LoopDevice {
  /** e.g. `/dev/loop3` */
  readonly path: string
  /** e.g. `7:3`, as cgroup control files want it */
  readonly majorMinor: string
  /** Lets go of the device: it lives on while it is mounted, else it is freed now. */
  release(): void
}

/** Makes `file` a disk, with direct I/O where the file system below can. The caller mounts it, then releases it.
 *  `partitions`: the disk may be divided. */
export function attachLoop(file: string, options: { readonly partitions?: boolean } = {}): LoopDevice {
  const flags = LO_FLAGS_AUTOCLEAR | (options.partitions === true ? LO_FLAGS_PARTSCAN : 0)
  const control = openSync('/dev/loop-control', 'r+')
  const backing = openSync(file, 'r+')
  try {
    for (let attempt = 1; ; attempt++) {
      const path = `/dev/loop${ioctlNumber(control, LOOP_CTL_GET_FREE, 0, '/dev/loop-control')}`
      const fd = openSync(path, 'r+')
      try {
        configure(fd, backing, file, flags)
        if (options.partitions !== true) leaveBfq(path)
        return { path, majorMinor: majorMinorOf(path), release: once(() => closeSync(fd)) }
      } catch (error) {
        closeSync(fd)
        // Somebody else took the same free number in between.
        if (!(error instanceof SystemError) || error.code !== 'EBUSY' || attempt >= ATTEMPTS) throw error
      }
    }
  } finally {
    closeSync(backing)
    closeSync(control)
  }
}

function configure(fd: number, backing: number, file: string, flags: number): void {
  const config = Buffer.alloc(CONFIG_BYTES)
  config.writeUInt32LE(backing, 0)
  config.write(file.slice(-NAME_BYTES), NAME_OFFSET, 'latin1')
  try {
    config.writeUInt32LE(flags | LO_FLAGS_DIRECT_IO, FLAGS_OFFSET)
    ioctlBuffer(fd, LOOP_CONFIGURE, config, file)
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== 'EINVAL') throw error
    config.writeUInt32LE(flags, FLAGS_OFFSET)
    ioctlBuffer(fd, LOOP_CONFIGURE, config, file)
  }
}

/** A scheduler stays with a device's number when its file goes; one left by a killed platform would slow this disk down. */
function leaveBfq(path: string): void {
  const scheduler = `/sys/block/${basename(path)}/queue/scheduler`
  if (readFileSync(scheduler, 'latin1').includes('[bfq]')) writeFileSync(scheduler, 'none')
}

/** `maj:min` of a device node. */
export function majorMinorOf(path: string): string {
  const device = statSync(path).rdev
  const major = ((device >> 8) & 0xfff) | ((device / 2 ** 32) & ~0xfff)
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00)
  return `${major}:${minor}`
}

/** Devices whose backing file lies under `folder` (also deleted ones). */
export function loopsUnder(folder: string): string[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .filter((name) => {
      try {
        return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').startsWith(`${folder}/`)
      } catch {
        return false // not attached
      }
    })
    .map((name) => `/dev/${name}`)
}

/** Detaches a device; already detached is fine. */
export function detachLoop(path: string): void {
  const fd = openSync(path, 'r+')
  try {
    ioctlNumber(fd, LOOP_CLR_FD, 0, path)
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== 'ENXIO') throw error
  } finally {
    closeSync(fd)
  }
}

function once(action: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    action()
  }
}
