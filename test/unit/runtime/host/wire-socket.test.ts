import { closeSync, readSync, writeSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createWire, type WireSocket } from '../../../../runtime/host/wire-socket.ts'
import { until } from '../../../support/until.ts'

let wire: WireSocket
let peerFd: number
const readBuffer = Buffer.alloc(1024)

beforeEach(() => {
  const pair = createWire(readBuffer)
  wire = pair.wire
  peerFd = pair.peerFd
  wire.on('error', () => {})
})
afterEach(() => {
  wire.destroy()
  closeSync(peerFd)
})

const ignore = () => {}

function readPeer(bytes = 1024): string {
  const into = Buffer.alloc(bytes)
  return into.toString('latin1', 0, readSync(peerFd, into))
}

describe('the wire to a sandbox', () => {
  test('what is sent is with the kernel before send returns', () => {
    const told: unknown[] = []
    wire.send(Buffer.from('now'), (error) => told.push(error))
    expect(told).toEqual([null])
    expect(readPeer()).toBe('now')
  })

  test('what is sent soon leaves together, and before what is written after it', async () => {
    const told: unknown[] = []
    wire.sendSoon(Buffer.from('a'), (error) => told.push(error))
    wire.sendSoon(Buffer.from('b'), (error) => told.push(error))
    expect(told).toEqual([])
    wire.write('c')
    expect(told).toEqual([null, null])
    expect(readPeer(2)).toBe('ab')
    expect(readPeer()).toBe('c')
    wire.sendSoon(Buffer.from('d'), (error) => told.push(error))
    await until('the turn is over', () => told.length === 3)
    expect(readPeer()).toBe('d')
  })

  test('what the kernel does not take at once follows in order', async () => {
    const big = Buffer.alloc(4 * 1024 * 1024, 'x')
    let done = 0
    wire.send(big, (error) => {
      if (error === null) done++
    })
    wire.send(Buffer.from('end'), (error) => {
      if (error === null) done++
    })
    expect(done).toBe(0)
    let bytes = 0
    let tail = ''
    await until('all of it came', () => {
      const text = readPeer(256 * 1024)
      bytes += text.length
      tail = (tail + text).slice(-3)
      return bytes === big.length + 3
    })
    expect(tail).toBe('end')
    await until('both are told', () => done === 2)
  })

  test('bytes that come before anybody takes them are kept', async () => {
    writeSync(peerFd, 'early')
    await new Promise((resolve) => setImmediate(resolve))
    const chunks: string[] = []
    wire.takeBytes((chunk) => chunks.push(chunk.toString()))
    writeSync(peerFd, ' late')
    await until('both came', () => chunks.join('') === 'early late')
  })

  test('a send into a closed wire is told, never thrown', () => {
    wire.destroy()
    const told: unknown[] = []
    wire.send(Buffer.from('x'), (error) => told.push(error))
    wire.sendSoon(Buffer.from('x'), ignore)
    expect(told).toEqual([expect.any(Error)])
  })
})
