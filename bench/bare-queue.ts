// The yardstick of the durable lane, a process of its own: how many `add`s a second BullMQ alone acknowledges, with a
// redis-server of its own that writes each to disk first. `node bench/bare-queue.ts <durationMs> <clients>` prints the rate.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Queue } from 'bullmq'
import { run, spawn } from '../runtime/host/spawn.ts'
import { until } from '../test/support/until.ts'

const durationMs = Number(process.argv[2] ?? 1000)
const clients = Number(process.argv[3] ?? 16)
const WARM_UP_MS = 200

const folder = mkdtempSync(join(tmpdir(), 'thaw-queue-'))
const socket = join(folder, 'redis.sock')
const settings = ['--port', '0', '--unixsocket', socket, '--dir', folder, '--save', '', '--daemonize', 'no']
const redis = spawn('redis-server', [...settings, '--appendonly', 'yes', '--appendfsync', 'always'], {
  stdout: 'ignore',
  stderr: 'ignore',
})
try {
  await until('redis-server answers', async () => {
    const ping = await run('redis-cli', ['-s', socket, 'ping'])
    return ping.stdout.trim() === 'PONG' || ping.stderr
  })
  const queue = new Queue('bare', { connection: { path: socket } })
  await queue.waitUntilReady()
  console.log(await addFor(queue))
  await queue.close()
} finally {
  redis.kill('SIGTERM')
  await redis.exited
  rmSync(folder, { recursive: true, force: true })
}

/** Adds a second, by `clients` loops that each wait for their acknowledgement. */
async function addFor(queue: Queue): Promise<number> {
  const from = performance.now() + WARM_UP_MS
  const end = from + durationMs
  let added = 0
  const work = async (): Promise<void> => {
    for (;;) {
      await queue.add('call', { method: 'GET', target: '/', headers: [] })
      const now = performance.now()
      if (now > end) return
      if (now >= from) added++
    }
  }
  await Promise.all(Array.from({ length: clients }, work))
  return (added * 1000) / durationMs
}
