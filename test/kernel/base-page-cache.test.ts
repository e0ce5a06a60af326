// Who is charged for the page cache of the base layer: the platform that read it at its start, not the sandbox that touches it
// first. Proven by the counters of a sandbox beside one whose runtime was taken out of the cache again.
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../../runtime/host/spawn.ts'
import { type Disk, mountDisk } from '../support/disk.ts'
import { call, startTestRuntime, type TestRuntime } from '../support/kernel-runtime.ts'

const MIB = 1024 ** 2
const DISK_MB = 1024
// On a disk and a runtime of their own: nobody else keeps these pages in the cache, and they are pages that can be forgotten.
const folder = mkdtempSync(join(tmpdir(), 'thaw-cold-cache-'))
let disk: Disk
let platform: TestRuntime
beforeAll(async () => {
  disk = await mountDisk(folder, DISK_MB)
  const nodeBinary = join(disk.path, 'node')
  copyFileSync(process.execPath, nodeBinary)
  await run('sync', [nodeBinary])
  platform = await startTestRuntime({ nodeBinary, stateDir: join(disk.path, 'state') })
})
afterAll(async () => {
  await platform.close()
  await disk.unmount()
  rmSync(folder, { recursive: true })
})

/** Bytes of files that a process's memory cgroup is charged with (memory.stat: `cache` on v1, `file` on v2). */
function chargedForFiles(pid: number): number {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')
  const v1 = lines.find((line) => line.split(':')[1]?.split(',').includes('memory'))
  const path = (v1 ?? lines.find((line) => line.startsWith('0::')) ?? '').split(':').slice(2).join(':')
  const root = v1 === undefined ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory'
  const stat = readFileSync(join(root, path, 'memory.stat'), 'utf8')
  return Number(/^(?:cache|file) (\d+)$/m.exec(stat)?.[1])
}

/** What the first call of a fresh sandbox left charged for files. */
async function firstCall(): Promise<number> {
  const sandbox = await platform.start(`async () => new Response('hello')`)
  try {
    expect((await call(sandbox)).text).toBe('hello')
    return chargedForFiles(sandbox.pid)
  } finally {
    await sandbox.destroy()
  }
}

/** Takes the base's copy of the runtime out of the page cache (posix_fadvise DONTNEED). Nothing that runs may have it mapped. */
async function forget(): Promise<void> {
  const layers = join(platform.stateDir, 'layers')
  const base = readdirSync(layers).find((name) => name.startsWith('base-'))
  const file = join(layers, base ?? '', 'usr', 'bin', 'node')
  const done = await run('dd', [`if=${file}`, 'iflag=nocache', 'count=0'])
  expect([done.code, done.stderr]).toEqual([0, expect.any(String)])
}

test('the first call of a sandbox is not charged for the files of the base layer', async () => {
  const read = await firstCall()
  await forget()
  const forgotten = await firstCall()
  // What one pays, the next has for nothing.
  const again = await firstCall()
  expect(forgotten).toBeGreaterThan(20 * MIB)
  expect(read).toBeLessThan(forgotten / 4)
  expect(again).toBeLessThan(forgotten / 4)
})
