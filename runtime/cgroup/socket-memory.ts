// Buffers of TCP and UDP sockets on cgroup v1, where they are not part of the memory limit and have no limit by default
// (memory.kmem.tcp, the kernel's cgroup-v1/memory.rst): a bound for each sandbox before its first process, and one for all
// together. On v2 they are memory like any other, and there is nothing to do here.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CgroupTree } from './tree.ts'

const LIMIT_FILE = 'memory.kmem.tcp.limit_in_bytes'
const USAGE_FILE = 'memory.kmem.tcp.usage_in_bytes'
const SHARE_OF_MEMORY = 4
const MOST_BYTES = 16 * 1024 ** 2
/** Of the memory at which the kernel begins to squeeze every socket of the machine (tcp_mem, udp_mem: tcp(7)). */
const SHARE_OF_MACHINE = 2
const PAGE_BYTES = 4096

export interface SocketMemory {
  /** False on cgroup v1 whose kernel has no such file: then nothing bounds them. */
  readonly enforced: boolean
  /** What a sandbox with this memory limit may hold in socket buffers on top of it; 0 where they are part of it. */
  beside(memoryBytes: number): number
  /** Makes the sandbox's memory cgroup with its bound: sockets made before it would never be counted. Throws the system error. */
  prepare(path: string, memoryBytes: number): void
  /** Removes what `prepare` made, if it is still there and empty. */
  forget(path: string): void
  /** What the sandbox holds now; 0 where it is part of its memory, or the sandbox is gone. */
  usageBytes(path: string): number
}

/** A quarter of the memory, at most 16 MiB. */
function socketShare(memoryBytes: number): number {
  return Math.min(Math.floor(memoryBytes / SHARE_OF_MEMORY), MOST_BYTES)
}

/** `parent` is made already. `proc` is where procfs is mounted. */
export function openSocketMemory(tree: CgroupTree, parent: string, proc = '/proc'): SocketMemory {
  const memory = tree.place('memory')
  if (memory?.version !== 1) return { ...NOTHING, enforced: memory !== null }
  const total = join(memory.root, parent, LIMIT_FILE)
  if (!existsSync(total)) return NOTHING
  const machineBytes = Math.min(...['tcp_mem', 'udp_mem'].map((name) => pressureBytes(`${proc}/sys/net/ipv4/${name}`)))
  // ORDER: before any child, or those made already would not be part of it.
  if (Number.isFinite(machineBytes)) writeFileSync(total, String(Math.floor(machineBytes / SHARE_OF_MACHINE)))
  return {
    enforced: true,
    beside: socketShare,
    prepare(path, memoryBytes) {
      const directory = join(memory.root, path)
      mkdirSync(directory)
      writeFileSync(join(directory, LIMIT_FILE), String(socketShare(memoryBytes)))
    },
    forget(path) {
      try {
        rmdirSync(join(memory.root, path))
      } catch {
        // Gone with the rest of the sandbox's cgroups, or not empty: then it is removed with them.
      }
    },
    usageBytes(path) {
      try {
        return Number(readFileSync(join(memory.root, path, USAGE_FILE), 'latin1'))
      } catch {
        return 0
      }
    },
  }
}

const NOTHING: SocketMemory = {
  enforced: false,
  beside: () => 0,
  prepare: () => {},
  forget: () => {},
  usageBytes: () => 0,
}

/** Second of the three numbers; Infinity where this network namespace has no such file. */
function pressureBytes(path: string): number {
  if (!existsSync(path)) return Number.POSITIVE_INFINITY
  return Number(readFileSync(path, 'latin1').trim().split(/\s+/)[1]) * PAGE_BYTES
}
