// CPU time of processes, from /proc: what a call costs the platform, its sandboxes, a bare server. Knows processes by pid, and a
// platform's by the names of its cgroups. Reads only.
import { readFileSync } from 'node:fs'
import type { Platform } from '../test/support/platform.ts'
import { processesOf } from '../test/support/platform-leftovers.ts'

/** Whose processes: a bare server's own; a platform's main process and helpers, its Redis, its sandboxes. */
export type Share = 'server' | 'platform' | 'redis' | 'sandboxes'

/** CPU ms by share. */
export type CpuTimes = Readonly<Partial<Record<Share, number>>>

/** Reads the CPU time used so far. */
export type CpuMeter = () => ReadonlyMap<number, readonly [Share, number]>

/** The kernel counts in ticks of 10 ms on every architecture Linux has: USER_HZ, time(7). */
const MS_PER_TICK = 10

/** A server and the processes it started. */
export function serverMeter(pid: number): CpuMeter {
  return () => new Map(familyOf(pid).map((member) => [member, ['server', cpuMs(member)]]))
}

export function platformMeter({ id, stateDir }: Platform): CpuMeter {
  return () => new Map(processesOf(id, stateDir).map((pid) => [pid, [shareOf(pid, id), cpuMs(pid)]]))
}

/** What was used between two readings. A process that ended in between is not counted, one that began is. */
export function cpuBetween(before: ReturnType<CpuMeter>, after: ReturnType<CpuMeter>): CpuTimes {
  const used: Partial<Record<Share, number>> = {}
  for (const [pid, [share, ms]] of after) {
    used[share] = (used[share] ?? 0) + ms - (before.get(pid)?.[1] ?? 0)
  }
  return used
}

function shareOf(pid: number, id: string): Share {
  if (new RegExp(`/thaw-${id}/`).test(read(`/proc/${pid}/cgroup`))) return 'sandboxes'
  return read(`/proc/${pid}/comm`).startsWith('redis') ? 'redis' : 'platform'
}

function familyOf(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number)
  return [pid, ...children.flatMap(familyOf)]
}

/** utime + stime of all its threads: proc(5), stat fields 14 and 15. */
function cpuMs(pid: number): number {
  const fields = read(`/proc/${pid}/stat`).split(') ')[1]?.split(' ')
  return fields === undefined ? 0 : (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK
}

/** Resident memory, bytes; 0 when it is gone. */
export function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024
}

/** Empty for what is not there (a process may end while it is read). */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
