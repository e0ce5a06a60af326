// A user namespace only for its map: idmapped mounts take one as a file descriptor. No process lives on in it.
import { openSync, writeFileSync } from 'node:fs'
import { spawn } from './spawn.ts'

/** Opens a user namespace in which id 0 on disk is host id `rootUid` and no other id exists. The caller closes it. */
export function openRootOnlyNamespace(rootUid: number): Promise<number> {
  return openSingleIdNamespace(0, rootUid)
}

/** Opens a user namespace in which user and group `diskId` on disk are `hostId` and no other id exists. The caller closes it. */
export async function openSingleIdNamespace(diskId: number, hostId: number): Promise<number> {
  // The namespace lives as long as its first process or our descriptor: cat waits at its stdin until we have that.
  const holder = spawn('unshare', ['--user', 'sh', '-c', 'echo ready; exec cat'], { stdin: 'pipe' })
  holder.stdin?.on('error', () => {})
  try {
    await firstOutput(holder)
    for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${holder.pid}/${map}`, `${diskId} ${hostId} 1\n`)
    return openSync(`/proc/${holder.pid}/ns/user`, 'r')
  } finally {
    holder.kill('SIGKILL')
    await holder.exited
    for (const stream of [holder.stdin, holder.stdout, holder.stderr]) stream?.destroy()
  }
}

async function firstOutput(holder: ReturnType<typeof spawn>): Promise<void> {
  const ready = new Promise<boolean>((resolve) => holder.stdout?.once('data', () => resolve(true)))
  const ended = holder.exited.then(() => false)
  if (!(await Promise.race([ready, ended]))) throw new Error('unshare --user: no user namespace to be had here')
}
