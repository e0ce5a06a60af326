// How much memory the kernel itself holds for whoever, seen from the host: all that is neither free, nor cache of files on a disk,
// nor memory of processes (proc(5), /proc/meminfo). tmpfs and memfd count.
import { readFileSync } from 'node:fs'

const LOOK_EVERY_MS = 20

/** Looks until `stop`, which says how many bytes there were at most above what there were at the begin. */
export function watchKernelMemory(): { stop(): number } {
  const before = kernelBytes()
  let most = before
  const look = () => {
    most = Math.max(most, kernelBytes())
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

function kernelBytes(): number {
  const text = readFileSync('/proc/meminfo', 'latin1')
  const bytes = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)![1]) * 1024
  const others = ['MemFree', 'Buffers', 'Cached', 'AnonPages'].reduce((sum, name) => sum + bytes(name), 0)
  return bytes('MemTotal') + bytes('Shmem') - others
}
