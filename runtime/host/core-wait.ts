// How long a process stood ready while others had the cores: the second figure of /proc/<pid>/schedstat. Only reads.
import { readFileSync } from 'node:fs'

/** µs since its start in which the main thread could have run and had no core; null where the kernel does not tell (built
 *  without CONFIG_SCHED_INFO) or the process is gone. Source: Documentation/scheduler/sched-stats.rst. */
export function coreWaitUs(pid: number): number | null {
  try {
    return parseCoreWait(readFileSync(`/proc/${pid}/schedstat`, 'latin1'))
  } catch {
    return null
  }
}

/** `<ns on a core> <ns waiting for one> <slices>`; null for anything else. */
export function parseCoreWait(text: string): number | null {
  const waited = /^\d+ (\d+) \d+\s*$/.exec(text)?.[1]
  return waited === undefined ? null : Math.round(Number(waited) / 1000)
}
