// The soak's own folder: a small disk for the state directory, and beside it what must not lie on a disk that is filled. Made in
// steps, taken down whatever was made of it; what a killed soak left is found by the folder's name and taken down by the next.
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../runtime/host/spawn.ts'
import { removeClockShares } from '../fault/own-clock.ts'
import { leaveFolder, mountSeenByAll } from '../fault/own-disk.ts'
import { signal } from '../fault/server.ts'
import { leftovers, processesOf } from '../support/platform-leftovers.ts'
import { until } from '../support/until.ts'

export interface OwnFolder {
  readonly path: string
  /** On the disk. */
  readonly stateDir: string
  /** Mount point of the disk. */
  readonly disk: string
  readonly clockFile: string
  /** Sources and other things that nobody fills. */
  readonly beside: string
}

const PREFIX = 'thaw-soak-'
const SANDBOX_USER = 1000
const END_MS = 30_000

/** Needs root. `megabytes` null: no disk of its own. Undone when it fails. */
export async function openFolder(megabytes: number | null, parent = tmpdir()): Promise<OwnFolder> {
  const path = mkdtempSync(join(parent, nameFor(process.pid, startTicksOf(process.pid) ?? 0)))
  const [disk, beside] = [join(path, 'disk'), join(path, 'beside')]
  try {
    if (megabytes === null) mkdirSync(disk)
    else await mountSeenByAll(path, megabytes)
    mkdirSync(beside)
    return { path, disk, beside, stateDir: join(disk, 'state'), clockFile: join(path, 'clock') }
  } catch (error) {
    await closeFolder(path)
    throw error
  }
}

/** A folder for one function to write into, not on the disk. */
export function makeWritable({ path }: OwnFolder, name: string): string {
  const folder = join(path, name)
  mkdirSync(folder)
  chownSync(folder, SANDBOX_USER, SANDBOX_USER)
  return folder
}

/** Accepts what is already gone. Throws when the disk is still in use. */
export async function closeFolder(path: string): Promise<void> {
  const disk = join(path, 'disk')
  if (isMounted(disk)) {
    const unmounted = async (): Promise<boolean | string> => {
      const { code, stderr } = await run('umount', [disk])
      return code === 0 || stderr.trim()
    }
    await until('the disk is unused', unmounted, END_MS)
  }
  // A dying process may hold it in a mount namespace of its own.
  const holders = async (): Promise<string> => (await run('losetup', ['--associated', join(path, 'disk.img')])).stdout
  await until('its loop device is gone', async () => (await holders()).trim() || true, END_MS)
  if (isMounted(path)) await leaveFolder(path)
  rmSync(path, { recursive: true, force: true })
}

/** Takes down what soaks that are dead left, their platforms first. Resolves to their names. */
export async function sweepFolders(parent = tmpdir()): Promise<string[]> {
  const swept: string[] = []
  for (const name of readdirSync(parent)) {
    const owner = ownerOf(name)
    if (owner === null || startTicksOf(owner.pid) === owner.startTicks) continue
    await endPlatform(join(parent, name, 'disk', 'state'))
    await closeFolder(join(parent, name))
    swept.push(name)
  }
  return swept
}

async function endPlatform(stateDir: string): Promise<void> {
  let id: string
  try {
    id = readFileSync(join(stateDir, 'id'), 'utf8').trim()
  } catch {
    return // none was started
  }
  const isOver = (): boolean | string => leftovers(id, stateDir).join(', ') || true
  for (const name of ['SIGTERM', 'SIGKILL'] as const) {
    for (const pid of processesOf(id, stateDir)) {
      signal(pid, name)
      removeClockShares(pid)
    }
    const isLast = name === 'SIGKILL'
    const over = await until('nothing is left of its platform', isOver, END_MS).then(
      () => true,
      (error: Error) => error,
    )
    if (over === true) return
    if (isLast) throw over
  }
}

/** Of a process that is gone another may have the number: the time of its start tells them apart. */
export function nameFor(pid: number, startTicks: number): string {
  return `${PREFIX}${pid}-${startTicks}-`
}

/** null: not a soak's folder. */
export function ownerOf(name: string): { readonly pid: number; readonly startTicks: number } | null {
  const [, pid, startTicks] = new RegExp(`^${PREFIX}(\\d+)-(\\d+)-`).exec(name) ?? []
  return pid === undefined ? null : { pid: Number(pid), startTicks: Number(startTicks) }
}

/** Clock ticks between boot and the start of a process; null: there is none. */
function startTicksOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Field 22 of proc(5); the name before may contain blanks.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
  } catch {
    return null
  }
}

function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === path)
}
