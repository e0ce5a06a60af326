// User ids for sandboxes: each gets 65,536 of its own, so that nothing one leaves is anything to another.
// A platform claims a region of 1,024 ranges under /run/thaw/uids, by a lock the kernel frees at its death.
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { RuntimeError } from '../errors.ts'
import { RUN_ROOT, runDirOf } from './state-id.ts'
import { tryLock } from './syscalls.ts'

/** Ids in a sandbox's range. */
export const RANGE_SIZE = 65_536
const RANGES_PER_REGION = 1024
/** Above the range systemd hands to containers (524288–1879048191), below 2³² − 2¹⁶. */
const FIRST_UID = 0x70000000
const REGIONS = 35

export interface UidRanges {
  /** First host uid of a free range. Throws RuntimeError `CREATE_FAILED` when all are taken. */
  acquire(): number
  release(base: number): void
  /** Number of the platform's region, below `regions`: no two platforms of a host have the same. */
  readonly region: number
  readonly regions: number
  /** The claim, for the guard to remove. */
  readonly file: string
  close(): void
}

/** Claims a region for this platform. Throws RuntimeError `HOST_UNSUITABLE` when every region is taken. */
export function claimUidRanges(platformId: string, runRoot = RUN_ROOT): UidRanges {
  const folder = join(runRoot, 'uids')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const start = Number.parseInt(platformId.slice(0, 4), 16) % REGIONS
  for (let step = 0; step < REGIONS; step++) {
    const region = (start + step) % REGIONS
    const file = join(folder, String(region))
    const fd = claimRegion(file, platformId)
    if (fd !== null) return createRanges(region, file, fd)
  }
  throw new RuntimeError('HOST_UNSUITABLE', `all ${REGIONS} uid regions in ${folder} are held by other platforms`)
}

function claimRegion(path: string, platformId: string): number | null {
  const fd = openSync(path, 'a+', 0o600)
  const owner = tryLock(fd, path) && isStill(path, fd) ? readFileSync(path, 'utf8').trim() : null
  // A free lock whose owner's folder is still there: that platform was killed and its sandboxes may live on.
  if (owner === null || (owner !== '' && owner !== platformId && existsSync(runDirOf(owner)))) {
    closeSync(fd)
    return null
  }
  ftruncateSync(fd, 0)
  writeSync(fd, platformId)
  return fd
}

/** A lock on a file that was removed meanwhile excludes nobody. */
function isStill(path: string, fd: number): boolean {
  try {
    return statSync(path).ino === fstatSync(fd).ino
  } catch {
    return false
  }
}

function createRanges(region: number, file: string, fd: number): UidRanges {
  const firstUid = FIRST_UID + region * RANGES_PER_REGION * RANGE_SIZE
  const free = Array.from({ length: RANGES_PER_REGION }, (_none, index) => firstUid + index * RANGE_SIZE)
  const taken = new Set<number>()
  return {
    acquire: () => {
      // The longest unused one, so that a range is not reused at once.
      const base = free.shift()
      if (base === undefined) throw new RuntimeError('CREATE_FAILED', `all ${RANGES_PER_REGION} uid ranges are in use`)
      taken.add(base)
      return base
    },
    release: (base) => {
      if (taken.delete(base)) free.push(base)
    },
    region,
    regions: REGIONS,
    file,
    close: () => {
      // ORDER: removed while still locked, so that no other platform can be about to lock it.
      rmSync(file, { force: true })
      closeSync(fd)
    },
  }
}
