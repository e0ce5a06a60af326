// A process that the watchdog started over: what it waits for, what it reports, and when it ends instead.
import { setTimeout as sleep } from 'node:timers/promises'
import { awaitChildren } from '../../runtime/host/predecessor.ts'
import { parseRestarts, RESTARTS_VARIABLE, type Restarts, waitMs } from '../../runtime/watchdog/restarts.ts'
import type { Restart } from '../../runtime/watchdog/thread-words.ts'

/** The guard takes this long at most. */
const PREDECESSOR_MS = 20_000
/** How long `/readyz` reports a restart. */
const WARNING_MS = 600_000

/** How often this process was started over. */
export function restartsOf(env: Readonly<Record<string, string | undefined>>): Restarts {
  return parseRestarts(env[RESTARTS_VARIABLE])
}

/** This very command once more. */
export function sameCommand(): Restart {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(process.env)) if (value !== undefined) env[name] = value
  const args = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  return { path: process.execPath, args, env, restarts: restartsOf(env) }
}

/** Waits for the end of all that the process before it had started, and longer the more often it was started over. Resolves to the
 *  exit code when it has to end instead: it was too often, or it was asked to stop meanwhile. */
export async function afterRestart(verb: string, restarts: Restarts, stop: Promise<void>): Promise<number | null> {
  if (restarts.total === 0) return null
  const ms = waitMs(restarts)
  const said = `fn ${verb}: the event loop stood still and the platform was started over`
  const times = `${restarts.atMs.length} within 10 minutes`
  if (ms === null) {
    process.stderr.write(`${said} too often (${times}); it ends. Look for the cause, then start it again\n`)
    await awaitChildren(PREDECESSOR_MS)
    return 1
  }
  process.stderr.write(`${said} (${times}${ms === 0 ? '' : `, going on in ${ms / 1000} s`})\n`)
  let stopped = false
  const stopping = stop.then(() => {
    stopped = true
  })
  await Promise.all([awaitChildren(PREDECESSOR_MS), Promise.race([sleep(ms), stopping])])
  return stopped ? 0 : null
}

/** What `/readyz` says of it for a while; null: nothing. */
export function restartWarning(
  restarts: Restarts,
  nowMs = Number(process.hrtime.bigint() / 1_000_000n),
): string | null {
  const last = restarts.atMs.at(-1)
  if (last === undefined || nowMs - last > WARNING_MS) return null
  const seconds = Math.round((nowMs - last) / 1000)
  return `the event loop stood still and the platform was started over ${seconds} s ago (${restarts.atMs.length} within 10 minutes)`
}
