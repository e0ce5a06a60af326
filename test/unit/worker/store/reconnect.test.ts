// A connection that breaks at the worst moment, against a server that says the least a Redis must and leaves when told to.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { connectRedis, type RedisStore } from '../../../../worker/store/connect.ts'
import { silentLogger } from '../../../support/real-clock.ts'
import { until } from '../../../support/until.ts'

const INFO = 'redis_version:7.0.15\r\nloading:0\r\n'
let folder = ''
let server: Server
let store: RedisStore | null = null

afterEach(async () => {
  await store?.close()
  server.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Answers every command; `onSubscribe` says whether a SUBSCRIBE is answered or the connection cut. */
function serve(onSubscribe: () => 'answer' | 'cut'): Promise<string> {
  folder = mkdtempSync(join(tmpdir(), 'thaw-reconnect-'))
  const path = join(folder, 'redis.sock')
  const answer = (socket: Socket, text: string): void => {
    for (const command of text.split(/\*\d+\r\n/).filter((part) => part !== '')) {
      const words = command.split('\r\n').filter((_, index) => index % 2 === 1)
      const [name = '', ...rest] = words
      if (name.toLowerCase() === 'info') socket.write(`$${INFO.length}\r\n${INFO}\r\n`)
      else if (name.toLowerCase() !== 'subscribe') socket.write('+OK\r\n')
      else if (onSubscribe() === 'cut') return void socket.destroy()
      else
        for (const channel of rest) socket.write(`*3\r\n$9\r\nsubscribe\r\n$${channel.length}\r\n${channel}\r\n:1\r\n`)
    }
  }
  server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (chunk) => answer(socket, chunk.toString('latin1')))
  })
  return new Promise((resolve) => server.listen(path, () => resolve(path)))
}

test('a server that leaves while subscriptions are taken up again is waited for, and nothing is left unhandled', async () => {
  const unhandled: unknown[] = []
  const listener = (reason: unknown): void => void unhandled.push(reason)
  process.on('unhandledRejection', listener)
  const sockets = new Set<Socket>()
  let asked = 0
  try {
    const socketPath = await serve(() => (++asked === 1 || asked > 4 ? 'answer' : 'cut'))
    server.on('connection', (socket) => sockets.add(socket))
    store = connectRedis({ socketPath }, silentLogger)
    let joined = 0
    store.subscribe(
      'news',
      () => {},
      () => joined++,
    )
    await until('the subscription stands', () => joined === 1)
    for (const socket of sockets) socket.destroy()
    await until('it stands again after three breaks', () => joined === 2)
    expect(asked).toBe(5)
    expect(unhandled).toEqual([])
  } finally {
    process.off('unhandledRejection', listener)
  }
})
