// Whether the disk of the state directory has room for what is accepted, for whoever asks a process whether it is ready.
import { statfsSync } from 'node:fs'
import { RESERVE_BYTES } from '../../worker/queue/files.ts'

const MIB = 1024 ** 2

/** Why nothing more is accepted, `without` being what does not work then; null: there is room, or nobody can tell. */
export function roomTrouble(stateDir: string, without: string, freeBytesOf = freeBytes): string | null {
  const free = freeBytesOf(stateDir)
  if (free === null || free > RESERVE_BYTES) return null
  const left = `${Math.floor(free / MIB)} MiB are left, the last ${RESERVE_BYTES / MIB} are kept for what was accepted`
  return `the disk of $FN_STATE_DIR is full (${left}): ${without}`
}

function freeBytes(folder: string): number | null {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize
  } catch {
    return null
  }
}
