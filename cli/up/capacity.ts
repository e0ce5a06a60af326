// What one platform process may hold: memory and sandboxes, from what the machine and the process's own limits allow.
import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'

/** Memory the platform and the rest of the machine keep: sandboxes together get what is left. */
const RESERVE_SHARE = 0.2
const RESERVE_MIN_BYTES = 512 * 1024 ** 2
const REDIS_MIN_BYTES = 256 * 1024 ** 2
/** Control files, socket and pipes of one sandbox: 23 on a host with cgroup v1, fewer on v2. */
const FILES_PER_SANDBOX = 26
/** Connections, logs, bodies, Redis. */
const FILES_RESERVE = 2048
const MAX_SANDBOXES = 1000
const MAX_CONNECTIONS = 100_000

/** Bytes that all sandboxes together may be charged with. */
export function sandboxMemoryBytes(totalBytes = totalmem()): number {
  return Math.floor(totalBytes - Math.max(RESERVE_MIN_BYTES, totalBytes * RESERVE_SHARE))
}

/** Memory the platform's own Redis may hold: an eighth of the machine's. Calls are accepted up to 85 % of it. */
export function redisMemoryBytes(totalBytes = totalmem()): number {
  return Math.max(REDIS_MIN_BYTES, Math.floor(totalBytes / 8))
}

/** Sandboxes at once before open files run out. `limits` is the text of /proc/self/limits (proc(5)). */
export function maxSandboxes(limits = readFileSync('/proc/self/limits', 'utf8')): number {
  const files = openFilesOf(limits)
  if (files === null) return MAX_SANDBOXES
  return Math.min(MAX_SANDBOXES, Math.max(1, Math.floor((files - FILES_RESERVE) / FILES_PER_SANDBOX)))
}

/** Connections at once: half of the open files, so that a flood of them leaves sandboxes room. */
export function maxConnections(limits = readFileSync('/proc/self/limits', 'utf8')): number {
  const files = openFilesOf(limits)
  return files === null ? MAX_CONNECTIONS : Math.max(64, Math.min(MAX_CONNECTIONS, Math.floor(files / 2)))
}

/** Null: unlimited. Node raises its soft limit to the hard one when it starts. */
function openFilesOf(limits: string): number | null {
  const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1]
  return hard === undefined ? null : Number(hard)
}
