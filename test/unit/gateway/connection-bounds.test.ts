import { EventEmitter } from 'node:events'
import type { Server, Socket } from 'node:net'
import { expect, test } from 'vitest'
import { ConnectionBounds } from '../../../gateway/connection-bounds.ts'

class FakeSocket extends EventEmitter {
  destroyed = false
  readonly remoteAddress: string | undefined
  constructor(remoteAddress: string | undefined) {
    super()
    this.remoteAddress = remoteAddress
  }
  destroy(): void {
    this.destroyed = true
  }
}

function bounds(most: number, byAddress = true) {
  const lines: object[] = []
  const server = new EventEmitter() as Server
  const made = new ConnectionBounds(most, byAddress, {
    debug() {},
    info() {},
    warn: (fields) => lines.push(fields),
    error() {},
  })
  made.watch(server)
  const connect = (address: string | undefined) => {
    const socket = new FakeSocket(address)
    server.emit('connection', socket as unknown as Socket)
    return socket
  }
  return { made, server, connect, lines }
}

test('one address has a quarter of all connections, and gets those back that end', () => {
  const { made, server, connect, lines } = bounds(8)
  expect(server.maxConnections).toBe(8)
  const [first, second, third, other] = ['192.0.2.1', '192.0.2.1', '192.0.2.1', '2001:db8::1'].map(connect)
  expect([first, second, third, other].map((socket) => socket!.destroyed)).toEqual([false, false, true, false])
  third!.emit('close')
  expect(connect('192.0.2.1').destroyed).toBe(true)
  first!.emit('close')
  expect(connect('192.0.2.1').destroyed).toBe(false)
  for (const socket of [second!, other!]) socket.emit('close')
  expect(made.addresses).toBe(1)
  expect(lines).toEqual([{ whose: '192.0.2.1', most: 8, closed: 1 }])
})

test('this machine, what is gone already, and whoever comes by way of a proxy are not counted by address', () => {
  const near = bounds(4)
  for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1', undefined])
    for (let times = 0; times < 5; times++) expect(near.connect(address).destroyed).toBe(false)
  const proxied = bounds(4, false)
  for (let times = 0; times < 5; times++) expect(proxied.connect('192.0.2.1').destroyed).toBe(false)
  expect([near.made.addresses, proxied.made.addresses]).toEqual([0, 0])
})
