// How much memory the kernel holds of one kind, in all, seen from the host (proc(5), /proc/meminfo).
import { readFileSync } from 'node:fs'

/** Names of /proc/meminfo: what the kernel keeps in slabs and cannot or can give back, tables of pages, tmpfs with memfd. */
export type KernelMemory = 'SUnreclaim' | 'SReclaimable' | 'PageTables' | 'Shmem'

const LOOK_EVERY_MS = 20

/** Looks until `stop`, which says how many bytes there were at most above what there were at the begin. */
export function watchKernelMemory(kind: KernelMemory): { stop(): number } {
  const before = bytesOf(kind)
  let most = before
  const look = () => {
    most = Math.max(most, bytesOf(kind))
  }
  const timer = setInterval(look, LOOK_EVERY_MS)
  return {
    stop() {
      clearInterval(timer)
      look()
      return most - before
    },
  }
}

function bytesOf(kind: KernelMemory): number {
  return Number(new RegExp(`^${kind}: +(\\d+) kB$`, 'm').exec(readFileSync('/proc/meminfo', 'latin1'))![1]) * 1024
}
