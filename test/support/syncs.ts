// What is put on disk by fsync, in order, while a test runs.
import { readlinkSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { onTestFinished, vi } from 'vitest'

/** From here to the end of the test. Answers paths, each with what `look` found when it was put on disk. */
export async function recordSyncs<T>(look: () => T): Promise<() => [path: string, found: T][]> {
  const handle = await open('/', 'r')
  const prototype = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const { sync } = prototype
  const syncs: [string, T][] = []
  const spy = vi.spyOn(prototype, 'sync').mockImplementation(async function (this: FileHandle) {
    syncs.push([readlinkSync(`/proc/self/fd/${this.fd}`), look()])
    await sync.call(this)
  })
  onTestFinished(() => spy.mockRestore())
  return () => syncs
}
