// Block devices as the kernel's control files name them (`maj:min`). Reads /dev and /sys; changes nothing.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { RuntimeError } from '../errors.ts'
import { WEIGHTED_IMAGE } from '../platform-folders.ts'

/** `maj:min` of a device number as stat(2) gives it (Linux's 64-bit encoding). */
export function deviceNumber(dev: number): string {
  const bits = BigInt(dev)
  const major = ((bits >> 8n) & 0xfffn) | ((bits >> 32n) & 0xfffff000n)
  const minor = (bits & 0xffn) | ((bits >> 12n) & 0xffffff00n)
  return `${major}:${minor}`
}

/** `/dev/sda` → `8:0`. Throws RuntimeError LIMIT_UNSUPPORTED when it is no disk: the kernel limits whole disks only. */
export function resolveDisk(path: string, sysfs = '/sys'): string {
  let number: string
  try {
    const stats = statSync(path)
    if (!stats.isBlockDevice()) throw new RuntimeError('LIMIT_UNSUPPORTED', `${path} is not a block device; see lsblk`)
    number = deviceNumber(stats.rdev)
  } catch (error) {
    if (error instanceof RuntimeError) throw error
    throw new RuntimeError('LIMIT_UNSUPPORTED', `no device ${path} on this host; see lsblk`, { cause: error })
  }
  if (!existsSync(`${sysfs}/dev/block/${number}/partition`)) return number
  const disk = basename(readText(`${sysfs}/dev/block/${number}/../uevent`).match(/^DEVNAME=(.*)$/m)?.[1] ?? 'its disk')
  throw new RuntimeError(
    'LIMIT_UNSUPPORTED',
    `${path} is a partition and the kernel limits whole disks: name /dev/${disk}`,
  )
}

/** The disk under a loop device (`7:0` → `254:0`), or null. Its counters hold the loop device's bytes a second time. */
export function backingDisk(number: string, sysfs = '/sys'): string | null {
  const file = readText(`${sysfs}/dev/block/${number}/loop/backing_file`).trim()
  if (file === '') return null
  try {
    const under = deviceNumber(statSync(file).dev)
    if (!existsSync(`${sysfs}/dev/block/${under}/partition`)) return under
    return readText(`${sysfs}/dev/block/${under}/../dev`).trim() || under
  } catch {
    return null
  }
}

/** Names of the host's disks in use whose I/O scheduler is bfq, the only one that knows weights. Unbound loop devices do not
 *  count, nor do the disks that platforms make for scratch disks with a weight. */
export function bfqDisks(sysfs = '/sys'): string[] {
  return disksOf(sysfs).filter((disk) => {
    if (!readText(`${sysfs}/block/${disk}/queue/scheduler`).includes('[bfq]')) return false
    if (!disk.startsWith('loop')) return true
    const file = readText(`${sysfs}/block/${disk}/loop/backing_file`).trim()
    return file !== '' && basename(file) !== WEIGHTED_IMAGE
  })
}

/** Whether a disk (`maj:min`) has the scheduler that knows weights. */
export function usesBfq(number: string, sysfs = '/sys'): boolean {
  return readText(`${sysfs}/dev/block/${number}/queue/scheduler`).includes('[bfq]')
}

/** Whether this kernel can put a disk of ours under bfq. */
export function offersBfq(sysfs = '/sys'): boolean {
  return disksOf(sysfs).some((disk) => /\bbfq\b/.test(readText(`${sysfs}/block/${disk}/queue/scheduler`)))
}

function disksOf(sysfs: string): string[] {
  try {
    return readdirSync(`${sysfs}/block`)
  } catch {
    return []
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
