// Takes what the kernel counts for the whole machine, or not at all, as far as it goes. Inside a sandbox only.
import { type ChildProcess, spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { type CallArgument, type KernelCall, makeCalls, startCalls } from './caller.ts'

/** Numbers of x86-64. */
const CALL = {
  socket: 41,
  connect: 42,
  sendto: 44,
  recvfrom: 45,
  bind: 49,
  listen: 50,
  setsockopt: 54,
  fcntl: 72,
  open: 2,
  close: 3,
  poll: 7,
  fork: 57,
  wait4: 61,
  flock: 73,
  nanosleep: 35,
}
const HOLD_S = 4
const held: unknown[] = []

const call = (name: keyof typeof CALL, ...args: CallArgument[]): KernelCall => ({ number: CALL[name], arguments: args })
const hold = (): KernelCall => call('nanosleep', { words: [HOLD_S, 0] }, 0)

/** sockaddr_in of loopback. */
function loopback(port: number): string {
  return `\x02\0${String.fromCharCode(port >> 8, port & 255)}\x7f\0\0\x01\0\0\0\0\0\0\0\0`
}

const FILLS: Readonly<Record<string, () => Promise<number> | number>> = {
  /** Bytes in the kernel's buffers. */
  async tcp() {
    const server = createServer({ pauseOnConnect: true }, (socket) => held.push(socket))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const block = Buffer.alloc(1024 ** 2)
    const sockets: Socket[] = []
    for (let nth = 0; nth < 40; nth++) {
      const socket = connect(port, '127.0.0.1').on('error', () => {})
      await new Promise((resolve) => socket.once('connect', resolve))
      for (let times = 0; times < 8; times++) socket.write(block)
      sockets.push(socket)
    }
    await delay(500)
    const inKernel = sockets.map((socket) => {
      const { bytesWritten, writeQueueSize } = (socket as unknown as { _handle: Record<string, number> })._handle
      return bytesWritten! - writeQueueSize!
    })
    for (const socket of [...sockets, ...(held.splice(0) as Socket[])]) socket.destroy()
    server.close()
    return inKernel.reduce((sum, bytes) => sum + bytes, 0)
  },
  /** Bytes of the datagrams that were kept for later. */
  udp() {
    const [sockets, each, bytes] = [20, 50, 60_000]
    const ports = Array.from({ length: sockets }, (_, nth) => 22_000 + nth)
    const room = call('setsockopt', 0, 1, 8, { words: [4 * 1024 ** 2] }, 4)
    const make = ports.flatMap((port, nth) => [
      call('socket', 2, 2, 0),
      { ...room, arguments: [{ result: nth * 3 }, ...room.arguments.slice(1)] },
      call('bind', { result: nth * 3 }, loopback(port), 16),
    ])
    const times = (nth: number) => Array.from({ length: each }, () => nth)
    const indexes = ports.flatMap((_, nth) => times(nth))
    const send = indexes.map((nth) =>
      call('sendto', { result: 0 }, 0x1001_0000, bytes, 0x40, loopback(ports[nth]!), 16),
    )
    const take = indexes.map((nth) => call('recvfrom', { result: nth * 3 }, 0x1018_0000, bytes, 0x40, 0, 0))
    const { results } = makeCalls([...make, ...send, ...take])
    return results.slice(-take.length).filter((result) => result === 'ok').length * bytes
  },
  async locks() {
    const [files, each] = [15, 100]
    const opens = Array.from({ length: files }, (_, nth) => call('open', `/tmp/lock-${nth}`, 66, 0o600))
    const locks = Array.from({ length: files * each }, (_, nth) =>
      call('fcntl', { result: nth % files }, 6, { words: [1, Math.floor(nth / files) * 2, 1, 0] }),
    )
    return holding([startCalls([...opens, ...locks, hold()])], locks.length)
  },
  /** Taken by a child that ends, on open files that its parent has, too. Of what fork returns the child gets 0, the parent some. */
  async 'orphaned-locks'() {
    const count = 1500
    const opens = Array.from({ length: count }, () => call('open', '/tmp/locked', 66, 0o600))
    const locks = opens.map((_, nth) => call('flock', { result: nth }, 1))
    const waits = [call('poll', 0, 0, { result: count }), { again: { calls: 1, times: 1000 } }]
    return holding([startCalls([...opens, call('fork'), call('wait4', -1, 0, 0, 0), ...locks, ...waits])], count)
  },
  async unaccepted() {
    const [processes, each] = [5, 1000]
    const children = Array.from({ length: processes }, (_, nth) => {
      const address = loopback(23_000 + nth)
      const listener = [
        call('socket', 2, 1, 0),
        call('bind', { result: 0 }, address, 16),
        call('listen', { result: 0 }, 4096),
      ]
      const connections = Array.from({ length: each }, (_none, one) => {
        const socket = { result: 3 + one * 3 }
        return [call('socket', 2, 1, 0), call('connect', socket, address, 16), call('close', socket)]
      })
      return startCalls([...listener, ...connections.flat(), hold()])
    })
    return holding(children, processes * each)
  },
  /** Open files, kept. */
  files() {
    const wanted = 15_000
    for (let nth = 0; nth < wanted; nth++) openSync('/dev/null', 'r')
    return wanted
  },
}

async function holding(children: readonly ChildProcess[], count: number): Promise<number> {
  await Promise.all(children.map((child) => new Promise((resolve) => child.once('exit', resolve))))
  return count
}

/** How much was held at last. */
export async function fill(name: string): Promise<number> {
  return await FILLS[name]!()
}

/** A shell that writes a byte at a time for so long. Of the wire: the text of a line that never becomes whole. */
export async function drip(descriptor: number, forMs: number): Promise<string> {
  const frame = descriptor === 3 ? "printf '\\376\\077\\000\\000\\026\\000\\000\\000\\000\\001' >&3; " : ''
  const loop = `${frame}i=0; while [ $i -lt ${descriptor === 3 ? 16_000 : 100_000_000} ]; do printf y >&${descriptor}; i=$((i+1)); done; sleep 60`
  const child = spawn('/bin/sh', ['-c', loop], { stdio: ['ignore', 1, 2, 3] })
  await delay(forMs)
  child.kill('SIGKILL')
  return 'over'
}
