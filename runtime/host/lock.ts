// The lock on a state directory: one platform at a time. Released by the kernel at the holder's death, however it dies.
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { RuntimeError } from '../errors.ts'
import { makeFolder } from './durable-file.ts'
import { stopOldGuard } from './guard.ts'
import { claimKernelId, type KernelName } from './kernel-id.ts'
import { tryLock } from './syscalls.ts'

/** The held lock. */
export interface StateLock {
  release(): void
}

/** Takes the lock of `stateDir` (creating the folder) and ends a guard that still cleans up after the previous holder.
 *  Throws RuntimeError `STATE_LOCKED` naming the process that holds it | `STATE_COPIED` when a platform runs on the directory that this
 *  one is a copy of. */
export async function lockStateDir(stateDir: string): Promise<StateLock> {
  await makeFolder(stateDir, 0o700)
  const path = join(stateDir, 'lock')
  const fd = openSync(path, 'a+', 0o600)
  let name: KernelName
  try {
    if (!tryLock(fd, path)) {
      const holder = readFileSync(path, 'utf8').trim() || 'unknown'
      const advice = 'stop it first, or use another state directory (FN_STATE_DIR)'
      throw new RuntimeError('STATE_LOCKED', `state directory ${stateDir} is in use by process ${holder}; ${advice}`)
    }
    ftruncateSync(fd, 0)
    writeSync(fd, `${process.pid}\n`)
    name = await holdName(stateDir)
  } catch (error) {
    closeSync(fd)
    throw error
  }
  let held = true
  return {
    release: () => {
      if (!held) return
      held = false
      name.release()
      closeSync(fd)
    },
  }
}

/** ORDER: the name is ours before the old guard is ended: that of a copy's original is not touched. A guard removes the claim as the last
 *  thing it does. */
async function holdName(stateDir: string): Promise<KernelName> {
  const name = await claimKernelId(stateDir)
  await stopOldGuard(name.id)
  if (name.isStill()) return name
  name.release()
  return await claimKernelId(stateDir)
}
