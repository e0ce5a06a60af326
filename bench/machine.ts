// Where a result was measured: what explains the figures, and nothing that names the machine or its owner.
import { readFileSync } from 'node:fs'
import { arch, availableParallelism, cpus, release, totalmem } from 'node:os'

export interface Machine {
  readonly cores: number
  readonly cpu: string
  readonly arch: string
  readonly memoryGiB: number
  readonly kernel: string
  readonly node: string
  /** Load average of the last minute before the run: a busy machine explains a bad figure. */
  readonly loadBefore: number
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
    loadBefore: Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]),
  }
}
