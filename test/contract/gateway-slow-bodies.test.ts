// Request bodies that do not come: each kind of call gives them up in its time, by a clock the test moves.
import { existsSync, readdirSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { TestGateway, TOKEN } from '../support/gateway.ts'
import { until } from '../support/until.ts'

let clock: FakeClock
let gateway: TestGateway
beforeEach(async () => {
  clock = new FakeClock()
  gateway = await TestGateway.start({ clock })
  gateway.registry.add('hello')
})
afterEach(() => gateway.stop())

const head = (first: string, ...headers: string[]): string =>
  `${[`${first} HTTP/1.1`, 'Host: localhost', `Authorization: Bearer ${TOKEN}`, ...headers].join('\r\n')}\r\n\r\n`

/** Sends a head and a little of its body; moves the clock until the connection is over; all that came back. */
async function slowly(bytes: string, stepMs: number, drip: (socket: Socket) => void = () => {}): Promise<string> {
  let over = false
  let opened: Socket | null = null
  const answer = gateway.raw(bytes, (socket) => {
    opened = socket
    // Else the gateway would wait for the rest of the body for some seconds, so that its answer is not lost.
    socket.on('data', (chunk: Buffer) => {
      if (chunk.includes('408')) socket.end()
    })
  })
  void answer.finally(() => {
    over = true
  })
  await until('the upload is watched', () => clock.pending > 0 && opened !== null)
  await until('it is given up', async () => {
    if (over) return true
    drip(opened!)
    await clock.advance(stepMs)
    return false
  })
  return await answer
}

const REFUSED = /^HTTP\/1\.1 408 [\s\S]*"code":"REQUEST_TIMEOUT"/

test.each([
  ['a small body of a call', head('POST /fn/hello', 'Content-Length: 100')],
  ['a body of a queued call', head('POST /fn/hello', 'Prefer: respond-async', 'Transfer-Encoding: chunked')],
  ['a body of a control call', head('PUT /v1/functions/hello/aliases/prod', 'Content-Length: 100')],
  ['the tar of a deploy', head('PUT /v1/functions/hello', 'Transfer-Encoding: chunked')],
])('%s that stands still is answered with 408', async (_what, bytes) => {
  expect(await slowly(bytes, 10_000)).toMatch(REFUSED)
  expect(gateway.lane.submissions).toHaveLength(0)
})

test.each([
  ['a small body of a call', 'POST /fn/hello'],
  ['a body of a control call', 'PUT /v1/functions/hello/aliases/prod'],
  ['the tar of a deploy', 'PUT /v1/functions/hello'],
])('%s that trickles is answered with 408', async (_what, first) => {
  const startedMs = clock.monotonicMs()
  const answer = await slowly(head(first, 'Content-Length: 60000'), 5000, (socket) => {
    if (socket.writable) socket.write('x')
  })
  expect(answer).toMatch(REFUSED)
  expect(clock.monotonicMs() - startedMs).toBeGreaterThan(20_000)
})

test('a deploy given up leaves nothing on the disk', async () => {
  await slowly(head('PUT /v1/functions/hello', 'Content-Length: 10000'), 10_000)
  const folder = join(gateway.stateDir, 'tmp')
  expect(existsSync(folder) ? readdirSync(folder) : []).toEqual([])
})

test('the connection of a control call that reads is closed in the end when nothing moves', async () => {
  const timeouts: (number | undefined)[] = []
  gateway.gateway.server.on('request', ({ socket }) => timeouts.push((socket as Socket).timeout))
  for (const [first, path] of [
    ['GET', '/v1/events'],
    ['GET', '/openapi.json'],
    ['PUT', '/v1/functions/hello'],
  ])
    await gateway.raw(head(`${first} ${path}`, 'Connection: close'), (socket) =>
      socket.once('data', () => socket.destroy()),
    )
  expect(timeouts).toEqual([90_000, 90_000, undefined])
})

test.each([
  ['POST /fn/hello', 100_000, 'early'],
  ['GET /healthz', 60_000, 'ok'],
])(
  'a body of %s of %i bytes that nobody waits for any more loses its connection after the answer',
  async (first, bytes, words) => {
    gateway.worker.onCall = (call) => call.answer('early')
    const answer = await slowly(head(first, `Content-Length: ${bytes}`), 5000, (socket) => {
      if (socket.writable) socket.write('x')
    })
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(answer).toContain(words)
  },
)
