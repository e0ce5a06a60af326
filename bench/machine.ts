// Where a result was measured: what explains the figures, and nothing that names the machine or its owner.
import { readFileSync } from 'node:fs'
import { arch, availableParallelism, cpus, release, totalmem } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'

export interface Machine {
  readonly cores: number
  readonly cpu: string
  readonly arch: string
  readonly memoryGiB: number
  readonly kernel: string
  readonly node: string
}

export function describeMachine(): Machine {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    arch: arch(),
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    // The version alone: a suffix may name whoever built it.
    kernel: /^[\d.]+/.exec(release())?.[0] ?? 'unknown',
    node: process.version,
  }
}

/** Share of all cores' time, 0 to 1, that was used over the next `ms`. The caller idles meanwhile: it is what others use. */
export async function busyShare(ms: number): Promise<number> {
  const before = cpuTimes()
  await delay(ms)
  const after = cpuTimes()
  const total = after.total - before.total
  return total === 0 ? 0 : 1 - (after.idle - before.idle) / total
}

/** Ticks since boot over all cores: proc_stat(5), first line. */
function cpuTimes(): { readonly total: number; readonly idle: number } {
  const ticks = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.trim().split(/\s+/).slice(1).map(Number)
  // Guest time is part of user time already: the first eight columns are all there is.
  const total = ticks.slice(0, 8).reduce((sum, count) => sum + count, 0)
  return { total, idle: (ticks[3] ?? 0) + (ticks[4] ?? 0) }
}
