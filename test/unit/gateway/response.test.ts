// A whole response in one write: the same bytes as node's own end(body).
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, beforeAll, expect, type MockInstance, test, vi } from 'vitest'
import { GatewayResponse } from '../../../gateway/response.ts'

const BODIES: Readonly<Record<string, Buffer>> = {
  text: Buffer.from('Hello, grüße 😀\n'),
  'every byte': Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
  nothing: Buffer.alloc(0),
  '8 KiB': Buffer.alloc(8 * 1024, 0xfe),
  'more than 8 KiB': Buffer.alloc(8 * 1024 + 1, 0xfe),
}

let server: Server
let writes: MockInstance
beforeAll(async () => {
  server = createServer({ ServerResponse: GatewayResponse }, (incoming, outgoing) => {
    const [, how, name] = incoming.url!.split('/')
    const body = BODIES[decodeURIComponent(name!)]!
    const { socket } = incoming
    writes = vi.spyOn(socket, 'write')
    const response = outgoing as unknown as GatewayResponse
    response.writeHead(200, ['Date', 'now', 'Content-Length', String(body.length), 'X-Latin', 'gr\xfc\xdfe'])
    if (how === 'whole') response.endWhole(body)
    else response.end(body)
  }) as unknown as Server
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(() => void server.close())

/** All bytes of one response on a connection of its own. */
function get(path: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1', () => {
      socket.write(`GET ${encodeURI(path)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    })
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', reject)
    socket.on('end', () => resolve(Buffer.concat(chunks)))
  })
}

test.each(Object.keys(BODIES))('%s arrives as node would have sent it', async (name) => {
  const own = await get(`/plain/${name}`)
  const whole = await get(`/whole/${name}`)
  expect(whole.equals(own)).toBe(true)
  expect(whole.subarray(whole.length - BODIES[name]!.length).equals(BODIES[name]!)).toBe(true)
})

test('a small one leaves in one write, head and all', async () => {
  await get('/whole/8 KiB')
  expect(writes).toHaveBeenCalledTimes(1)
})
