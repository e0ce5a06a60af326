// Redis on a disk that fills up: the room kept for that day lets it start again, and is kept anew when there is room.
import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Clock, spawn } from '../../runtime/api.ts'
import { connectRedis, type RedisStore } from '../../worker/store/connect.ts'
import { type EmbeddedRedis, startEmbeddedRedis } from '../../worker/store/embedded-redis.ts'
import { type Disk, mountDisk } from '../support/disk.ts'
import { eventually, realClock, silentLogger } from '../support/redis.ts'

/** Waits of half a minute are over at once. */
const hasty: Clock = { ...realClock, after: (ms, fire) => realClock.after(Math.min(ms, 100), fire) }

let disk: Disk
let server: EmbeddedRedis
let store: RedisStore
let stateDir: string

beforeEach(async () => {
  disk = await mountDisk(mkdtempSync(join(tmpdir(), 'thaw-ballast-')), 144)
  stateDir = join(disk.path, 'state')
  server = await startEmbeddedRedis({
    stateDir,
    runDir: join(disk.folder, 'run'),
    spawn,
    logger: silentLogger,
    clock: hasty,
  })
  store = connectRedis({ socketPath: server.socketPath }, silentLogger)
  await store.waitAvailable(5_000)
})
afterEach(async () => {
  await store.close()
  await server.stop()
  await disk.unmount()
  rmSync(disk.folder, { recursive: true, force: true })
})

async function fill(path: string): Promise<void> {
  const file = await open(path, 'w')
  const chunk = Buffer.alloc(256 * 1024, 1)
  try {
    for (;;) await file.write(chunk)
  } catch {
    await file.write(Buffer.alloc(512)).catch(() => {})
  } finally {
    await file.close()
  }
}

test('a full disk ends Redis, which starts again in the room that was kept; with room again, some is kept again', async () => {
  const ballast = join(stateDir, 'ballast')
  await eventually('room is kept', () => existsSync(ballast))
  await store.command('SET', 'kept', 'yes')
  const filler = join(disk.path, 'filler')
  await fill(filler)
  const pid = server.pid()
  // One write after the other until one does not fit; what is refused was never promised.
  for (let i = 0; server.pid() === pid && i < 20_000; i++) {
    await store.command('SET', `more${i}`, 'x'.repeat(10_000)).catch(() => {})
  }
  await eventually('it is started again', () => server.available() && server.pid() !== pid, 30_000)
  expect(existsSync(ballast)).toBe(false)
  const answer = await eventually('it answers', () => store.command('GET', 'kept').catch(() => null), 30_000)
  expect(answer).toBe('yes')
  expect(await store.command('SET', 'after', '1')).toBe('OK')
  expect(statfsSync(disk.path).bavail).toBeGreaterThan(0)
  rmSync(filler)
  await eventually('room is kept again', () => existsSync(ballast))
}, 90_000)
