// CPU time a sandbox has used, split into user and system. Prefers the v2 tree's cpu.stat, which is exact to the µs;
// v1's user/system split is counted in timer ticks, so there the exact total bounds it.
import { type ControlFile, fieldKey } from './control-file.ts'
import type { SandboxDirectory } from './sandbox-directory.ts'

/** Since the sandbox began, µs. */
export interface CpuUsage {
  readonly totalUs: number
  readonly userUs: number
}

export interface CpuUsageCounter {
  read(): CpuUsage
  close(): void
}

const KEYS = [fieldKey('usage_usec'), fieldKey('user_usec')]

/** Opens the best source this host has. Throws the system error when the directories are missing. */
export function openCpuUsage(directory: SandboxDirectory): CpuUsageCounter {
  const unified = directory.unified()
  if (unified !== null) {
    const stat = directory.fileAt(unified, 'cpu.stat', 'read')
    if (stat.exists()) return fromCpuStat(stat.open())
  }
  const place = directory.require('cpuacct')
  return fromCpuacct(
    directory.file(place, 'cpuacct.usage', 'read').open(),
    directory.optional(place, 'cpuacct.usage_user', 'read'),
  )
}

function fromCpuStat(stat: ControlFile): CpuUsageCounter {
  return {
    read() {
      const [totalUs = 0, userUs = 0] = stat.readFields(KEYS)
      return { totalUs, userUs }
    },
    close: () => stat.close(),
  }
}

function fromCpuacct(total: ControlFile, user: ControlFile | null): CpuUsageCounter {
  return {
    read() {
      const totalUs = Math.round(total.readNumber() / 1000)
      return { totalUs, userUs: Math.min(totalUs, Math.round((user?.readNumber() ?? 0) / 1000)) }
    },
    close() {
      total.close()
      user?.close()
    },
  }
}
