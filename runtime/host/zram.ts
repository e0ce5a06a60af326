// A compressed swap device in memory, for `fn up --zram SIZE`: long-idle sandboxes go there. Made at start, undone at stop; a
// note in the run folder lets guard and next start undo what a killed platform left. Who is swapped out is decided elsewhere.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { RuntimeError } from '../errors.ts'
import { run } from './spawn.ts'

const CONTROL = '/sys/class/zram-control'
/** Above every swap the host has by itself. */
const PRIORITY = 100

/** The note in the run folder: the device's name (guard.sh reads it too). */
export function zramNote(runDir: string): string {
  return join(runDir, 'zram')
}

export interface Zram {
  /** e.g. `/dev/zram0` */
  readonly path: string
  close(): Promise<void>
}

/** Makes a swap device that holds `sizeBytes` of uncompressed memory, and switches it on. Throws RuntimeError HOST_UNSUITABLE
 *  with the way out; then nothing is left of it. */
export async function openZram(sizeBytes: number, runDir: string): Promise<Zram> {
  if (!existsSync(CONTROL)) await run('modprobe', ['zram']).catch(() => null)
  if (!existsSync(`${CONTROL}/hot_add`)) {
    throw new RuntimeError('HOST_UNSUITABLE', '--zram: this kernel has no zram; modprobe zram, or leave --zram out')
  }
  // Reading it makes a device.
  const name = `zram${readFileSync(`${CONTROL}/hot_add`, 'latin1').trim()}`
  const note = zramNote(runDir)
  writeFileSync(note, `${name}\n`, { mode: 0o600 })
  const close = () => removeZram(name, note)
  try {
    preferLz4(name)
    writeFileSync(`/sys/block/${name}/disksize`, String(sizeBytes))
    for (const [command, ...args] of [
      ['mkswap', `/dev/${name}`],
      ['swapon', '--priority', String(PRIORITY), `/dev/${name}`],
    ] as const) {
      const result = await run(command, args)
      if (result.code !== 0) throw new Error(`${command}: ${result.stderr.trim()}`)
    }
    return { path: `/dev/${name}`, close }
  } catch (error) {
    await close()
    throw new RuntimeError('HOST_UNSUITABLE', `--zram: ${(error as Error).message}`, { cause: error })
  }
}

/** Undoes what a killed platform left, if there is such a note. */
export async function sweepZram(runDir: string): Promise<void> {
  const note = zramNote(runDir)
  if (!existsSync(note)) return
  await removeZram(readFileSync(note, 'latin1').trim(), note)
}

/** Already gone is fine. What is in it comes back into memory first. */
async function removeZram(name: string, note: string): Promise<void> {
  const number = /^zram(\d+)$/.exec(name)?.[1]
  if (number !== undefined && existsSync(`/sys/block/${name}`)) {
    if (readFileSync('/proc/swaps', 'latin1').includes(`/dev/${name} `)) {
      const off = await run('swapoff', [`/dev/${name}`])
      if (off.code !== 0) throw new Error(`swapoff /dev/${name}: ${off.stderr.trim()}`)
    }
    writeFileSync(`/sys/block/${name}/reset`, '1')
    writeFileSync(`${CONTROL}/hot_remove`, number)
  }
  rmSync(note, { force: true })
}

/** The faster of the usual ones; whatever the kernel has is fine too. */
function preferLz4(name: string): void {
  try {
    writeFileSync(`/sys/block/${name}/comp_algorithm`, 'lz4')
  } catch {
    // not built in
  }
}
