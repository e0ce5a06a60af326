// The name that a state directory has among kernel objects (cgroups, mounts, links, sockets below /run/thaw): 8 hex digits in the file
// `kernel-id`, bound to the directory itself. A copy of the directory brings the file along, and its platform must touch nothing of
// the first one's: it gets its own name, or is refused while the first one runs. The persistent id stays in the file `id`.
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { RuntimeError } from '../errors.ts'
import { writeDurable } from './durable-file.ts'
import { guardOf } from './guard.ts'
import { type OwnerLock, ownerOf, takeOwnerLock } from './owner-lock.ts'
import { ID, RUN_ROOT, runDirOf, stateId } from './state-id.ts'

/** What tells a directory from a copy of it. Inode and birth time (statx(2)) survive a move on one file system and no copy; a clone of the
 *  whole disk has both, and another device number, which means something within one boot only. */
export interface DirectoryMark {
  readonly inode: string
  readonly bornNs: string
  readonly device: string
  readonly boot: string
}

interface Binding extends DirectoryMark {
  readonly id: string
  /** Where it was: for people. */
  readonly directory: string
}

/** The name, held. */
export interface KernelName {
  readonly id: string
  /** False: the claim was removed. */
  isStill(): boolean
  release(): void
}

const FILE = 'kernel-id'
/** Looks of others at a lock are short. */
const LOOKS = 100

/** The name of this directory as it was claimed last; before it was, its persistent id. Throws RuntimeError `DISK_FULL`. */
export async function kernelId(stateDir: string): Promise<string> {
  return readBinding(stateDir)?.id ?? (await stateId(stateDir))
}

/** Finds the name this directory may have, and holds it until `release`. The caller holds the directory's lock.
 *  Throws RuntimeError `STATE_COPIED` while a platform of another directory has it. */
export async function claimKernelId(stateDir: string, runRoot = RUN_ROOT): Promise<KernelName> {
  const mark = markOf(stateDir)
  const bound = readBinding(stateDir)
  // Before there was a binding the persistent id was the name.
  const known = bound?.id ?? (await stateId(stateDir))
  const isOurs = bound === null || isSame(bound, mark)
  expectNotInUse(known, stateDir, mark, bound, runRoot)
  let id = isOurs ? known : freshId(runRoot)
  let lock = takeOwnerLock(id, stateDir, runRoot)
  for (let turn = 1; lock === null; turn++) {
    // Taken at this moment by a copy that starts as well, or only looked at by one.
    expectNotInUse(id, stateDir, mark, bound, runRoot)
    if (turn % LOOKS === 0) id = freshId(runRoot)
    lock = takeOwnerLock(id, stateDir, runRoot)
  }
  try {
    await writeBinding(stateDir, { id, ...mark, directory: realpathSync(stateDir) })
  } catch (error) {
    lock.release()
    throw error
  }
  return nameOf(id, lock)
}

/** True when the second is the directory that the first was taken of, as far as can be seen. */
export function isSame(before: DirectoryMark, now: DirectoryMark): boolean {
  const { inode, bornNs, device, boot } = before
  return inode === now.inode && bornNs === now.bornNs && (boot !== now.boot || device === now.device)
}

export function markOf(stateDir: string): DirectoryMark {
  const { ino, dev, birthtimeNs } = statSync(stateDir, { bigint: true })
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return { inode: String(ino), bornNs: String(birthtimeNs), device: String(dev), boot }
}

function nameOf(id: string, lock: OwnerLock): KernelName {
  return { id, isStill: () => lock.isStill(), release: () => lock.release() }
}

/** A platform that runs under this name is one of another directory: ours would hold our lock. */
function expectNotInUse(
  id: string,
  stateDir: string,
  mark: DirectoryMark,
  bound: Binding | null,
  runRoot: string,
): void {
  const owner = ownerOf(id, runRoot) ?? otherGuard(id, mark)
  if (owner === null) return
  const where = owner.directory === '' ? (bound?.directory ?? 'another state directory') : owner.directory
  const what = `state directory ${stateDir} is a copy of ${where}, which process ${owner.pid} uses now`
  const way = 'stop that platform first, start with another state directory (FN_STATE_DIR)'
  const both = `or, to run both, remove the files id and ${FILE} in the copy`
  throw new RuntimeError('STATE_COPIED', `${what}; ${way}, ${both}`)
}

/** Platforms from before there were owner locks have a guard only. */
function otherGuard(id: string, mark: DirectoryMark): { readonly pid: number; readonly directory: string } | null {
  const guard = guardOf(id)
  if (guard === null) return null
  try {
    if (isSame(markOf(guard.directory), mark)) return null
  } catch {
    // The directory is gone: what is left of its platform is not ours to clean.
  }
  return guard
}

function freshId(runRoot: string): string {
  for (;;) {
    const id = randomBytes(4).toString('hex')
    if (!existsSync(join(runRoot, id)) && !existsSync(runDirOf(id))) return id
  }
}

/** Null when there is none, or it cannot be read as one. */
function readBinding(stateDir: string): Binding | null {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(join(stateDir, FILE), 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  if (typeof value !== 'object' || value === null) return null
  const { id, inode, bornNs, device, boot, directory } = value as Record<string, unknown>
  const texts = [inode, bornNs, device, boot, directory]
  if (typeof id !== 'string' || !ID.test(id) || texts.some((text) => typeof text !== 'string')) return null
  return value as Binding
}

async function writeBinding(stateDir: string, binding: Binding): Promise<void> {
  const { id, inode, bornNs, device, boot, directory } = binding
  await writeDurable(join(stateDir, FILE), `${JSON.stringify({ id, inode, bornNs, device, boot, directory })}\n`)
}
