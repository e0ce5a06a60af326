// Which platform uses a name of kernel objects: a file /run/thaw/owners/<id>, locked for as long as the platform lives (the kernel frees the
// lock at its death), with its pid and state directory in it. Below /run, so that copies of a state directory meet there.
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { RUN_ROOT } from './state-id.ts'
import { tryLock } from './syscalls.ts'

export interface Owner {
  readonly pid: number
  /** Empty when it did not say yet. */
  readonly directory: string
}

export interface OwnerLock {
  /** True while the file is there: a guard that cleans up removes it. */
  isStill(): boolean
  /** Removes the file. Idempotent. */
  release(): void
}

/** The platform that runs under this name; null: none does. Takes and keeps nothing. */
export function ownerOf(id: string, runRoot = RUN_ROOT): Owner | null {
  const path = pathOf(id, runRoot)
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    if (tryLock(fd, path)) return null
    const [pid = '', directory = ''] = readFileSync(path, 'utf8').split('\n')
    return { pid: Number(pid), directory }
  } finally {
    closeSync(fd)
  }
}

/** Null when another platform has it. */
export function takeOwnerLock(id: string, stateDir: string, runRoot = RUN_ROOT): OwnerLock | null {
  const path = pathOf(id, runRoot)
  for (;;) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o711 })
    const fd = openSync(path, 'a+', 0o600)
    if (!tryLock(fd, path)) {
      closeSync(fd)
      return null
    }
    // A lock on a file that was removed meanwhile keeps no other out.
    if (!isFile(path, fd)) {
      closeSync(fd)
      continue
    }
    ftruncateSync(fd, 0)
    writeSync(fd, `${process.pid}\n${realpathSync(stateDir)}\n`)
    return lockOf(path, fd)
  }
}

function lockOf(path: string, fd: number): OwnerLock {
  let held = true
  return {
    isStill: () => isFile(path, fd),
    release: () => {
      if (!held) return
      held = false
      // ORDER: removed while it is locked, so no other can have taken it.
      if (isFile(path, fd)) rmSync(path, { force: true })
      closeSync(fd)
      removeEmpty(dirname(path))
      removeEmpty(dirname(dirname(path)))
    },
  }
}

function pathOf(id: string, runRoot: string): string {
  return join(runRoot, 'owners', id)
}

function isFile(path: string, fd: number): boolean {
  try {
    return statSync(path).ino === fstatSync(fd).ino
  } catch {
    return false
  }
}

function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // others are in it, or it is gone
  }
}
