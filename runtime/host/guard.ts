// The guard process: outlives a killed platform just long enough to remove what it left (guard.sh does the work).
// Here: starting it, dismissing it, and ending one that still works for a previous platform of the same id.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Clock, Logger } from '../api.ts'
import { spawn } from './spawn.ts'
import { runDirOf } from './state-id.ts'

const SCRIPT = fileURLToPath(new URL('./guard.sh', import.meta.url))
const STOP_WAIT_MS = 2000

export interface GuardOptions {
  readonly platformId: string
  readonly stateDir: string
  /** Where the cgroup hierarchies are mounted, e.g. `/sys/fs/cgroup`. */
  readonly cgroupRoot: string
  /** The platform's claim on a uid region, removed with the rest. */
  readonly uidFile: string
  /** Called when the guard ends although nobody dismissed it. */
  readonly onLost: () => void
}

export interface Guard {
  readonly pid: number
  /** Tells it that all is in order, and waits until it has ended. */
  dismiss(): Promise<void>
}

/** Starts the guard of this platform, in a session of its own. */
export function startGuard(options: GuardOptions): Guard {
  const runDir = runDirOf(options.platformId)
  mkdirSync(runDir, { recursive: true, mode: 0o711 })
  const args = [SCRIPT, options.platformId, runDir, options.stateDir, options.cgroupRoot, options.uidFile]
  const child = spawn('/bin/sh', args, { stdin: 'pipe', stdout: 'ignore', stderr: 'ignore', detached: true, cwd: '/' })
  child.unref()
  child.stdin?.on('error', () => {}) // it was killed: `exited` tells
  writeFileSync(pidFile(options.platformId), `${child.pid}\n`, { mode: 0o600 })
  let dismissed = false
  const ended = child.exited.then(() => {
    if (!dismissed) options.onLost()
  })
  return {
    pid: child.pid,
    dismiss: async () => {
      dismissed = true
      child.stdin?.end('stopped\n')
      await ended
      rmSync(pidFile(options.platformId), { force: true })
    },
  }
}

const RESTART_MS = 1000

/** Starts the guard, and another one whenever somebody ends it. */
export function keepGuard(options: Omit<GuardOptions, 'onLost'>, clock: Clock, logger: Logger): Pick<Guard, 'dismiss'> {
  let cancelRestart = () => {}
  const start = (): Guard => startGuard({ ...options, onLost })
  const onLost = () => {
    logger.warn({}, 'the guard process ended; starting another')
    cancelRestart = clock.after(RESTART_MS, () => {
      guard = start()
    })
  }
  let guard = start()
  return {
    dismiss: async () => {
      cancelRestart()
      await guard.dismiss()
    },
  }
}

/** Ends the guard of a previous platform of this id, if one is still at work, so that it cannot touch what is made next.
 *  The caller holds the state lock, and sweeps itself. */
export async function stopOldGuard(platformId: string): Promise<void> {
  const pid = guardPid(platformId)
  if (pid === null) return
  const deadline = performance.now() + STOP_WAIT_MS
  while (isGuard(pid, platformId) && performance.now() < deadline) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      return // ended by itself
    }
    await sleep(5)
  }
}

/** The guard that is alive under this name, and the state directory it was started for; null: there is none. */
export function guardOf(platformId: string): { readonly pid: number; readonly directory: string } | null {
  const pid = guardPid(platformId)
  if (pid === null || !isGuard(pid, platformId)) return null
  const args = argumentsOf(pid)
  const script = args.findIndex((arg) => arg.endsWith('/guard.sh'))
  return { pid, directory: args[script + 3] ?? '' }
}

function pidFile(platformId: string): string {
  return join(runDirOf(platformId), 'guard.pid')
}

function guardPid(platformId: string): number | null {
  try {
    const pid = Number(readFileSync(pidFile(platformId), 'utf8'))
    return Number.isInteger(pid) && pid > 1 ? pid : null
  } catch {
    return null
  }
}

/** The pid may belong to something else by now: only a process that is this guard by its command line counts. */
function isGuard(pid: number, platformId: string): boolean {
  const args = argumentsOf(pid)
  return args.includes(platformId) && args.some((arg) => arg.endsWith('/guard.sh'))
}

function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}
