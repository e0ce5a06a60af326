// What the kernel holds for processes and charges to no cgroup, counted: TCP sockets of a network namespace, and locks of files.
// Only reads; overuse.ts decides what is too much.
import { readFileSync } from 'node:fs'
import { type FileHandle, open, readdir, readFile } from 'node:fs/promises'

/** Connections that wait for their end take 256 bytes of kernel memory, a socket that is not accepted 4 KiB. */
const WAITING_PER_SOCKET = 16

/** TCP sockets in the network namespace of process `pid`, those not accepted yet included, and connections that wait for
 *  their end as a sixteenth each; 0 when the process is gone. Source: proc(5), /proc/net/sockstat. */
export function countSockets(pid: number): number {
  let count = 0
  for (const name of ['sockstat', 'sockstat6']) {
    try {
      count += parseSockets(readFileSync(`/proc/${pid}/net/${name}`, 'latin1'))
    } catch {
      // Gone, or a kernel without IPv6.
    }
  }
  return count
}

/** The lines `TCP: inuse N orphan N tw N …` and `TCP6: inuse N`. */
export function parseSockets(text: string): number {
  const [, inUse, waiting] = /^TCP6?: inuse (\d+)(?:.* tw (\d+))?/m.exec(text) ?? []
  return Number(inUse ?? 0) + Math.floor(Number(waiting ?? 0) / WAITING_PER_SOCKET)
}

/** Locks of files by the process that took them; `complete` false: there are more than were read. */
export interface LockCounts {
  readonly byPid: ReadonlyMap<number, number>
  readonly total: number
  readonly complete: boolean
}

const CHUNK_BYTES = 64 * 1024

export interface LockTable {
  /** Counts about `most` locks at most: the kernel lists new ones first, and a long list costs it time. Never rejects. */
  count(most: number): Promise<LockCounts>
  close(): Promise<void>
}

/** /proc/locks (proc(5)): POSIX locks, flocks and leases of the whole machine. Resolves to null where the kernel has no such file. */
export async function openLockTable(path = '/proc/locks'): Promise<LockTable | null> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch {
    return null
  }
  const buffer = Buffer.alloc(CHUNK_BYTES)
  return {
    count: (most) => countLocks(file, buffer, most),
    close: () => file.close(),
  }
}

async function countLocks(file: FileHandle, buffer: Buffer, most: number): Promise<LockCounts> {
  const byPid = new Map<number, number>()
  let total = 0
  let rest = ''
  for (let at = 0; ; ) {
    // The kernel gives a page at a time.
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at).catch(() => ({ bytesRead: 0 }))
    if (bytesRead === 0) return { byPid, total, complete: true }
    at += bytesRead
    const lines = (rest + buffer.toString('latin1', 0, bytesRead)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const pid = lockOwner(line)
      if (pid === null) continue
      total++
      byPid.set(pid, (byPid.get(pid) ?? 0) + 1)
    }
    if (total >= most) return { byPid, total, complete: false }
  }
}

/** `1: POSIX  ADVISORY  WRITE 3548 fd:01:1234 0 EOF`; one that waits has `->` before its kind. */
export function lockOwner(line: string): number | null {
  const pid = /^\d+: +(?:-> +)?[A-Z]+ +\S+ +\S+ +(-?\d+) /.exec(line)?.[1]
  return pid === undefined ? null : Number(pid)
}

/** Processes that took the locks on open files of process `pid`, itself or others, of `most` of its open files at most: which, is
 *  left to chance. None when it is gone. Source: proc(5), /proc/pid/fdinfo. */
export async function lockTakers(pid: number, most: number): Promise<Set<number>> {
  const folder = `/proc/${pid}/fdinfo`
  const names = await readdir(folder).catch(() => [])
  const first = names.length > most ? Math.floor(Math.random() * names.length) : 0
  const takers = new Set<number>()
  for (const name of [...names.slice(first), ...names.slice(0, first)].slice(0, most)) {
    const text = await readFile(`${folder}/${name}`, 'latin1').catch(() => '')
    for (const [, line] of text.matchAll(/^lock:\t(.+)$/gm)) {
      const taker = lockOwner(line!)
      if (taker !== null) takers.add(taker)
    }
  }
  return takers
}
