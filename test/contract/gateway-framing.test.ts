// Every way a request can be framed wrongly (RFC 9112), on a raw socket: what is answered, whether the connection is taken for another
// request, and that nothing inside a body is read as one.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { faultIn, KINDS, malformedRequest, WITNESS_PATH } from '../support/malformed-requests.ts'
import { exchange } from '../support/raw-exchange.ts'

const SENTINEL = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
/** Enough draws that each row of each kind comes up. */
const DRAWS = 24

let gateway: TestGateway
beforeAll(async () => {
  gateway = await TestGateway.start()
  gateway.registry.add('echo')
  gateway.registry.add('witness')
})
afterAll(() => gateway.stop())

test.each(Object.keys(KINDS))('%s', async (kind) => {
  const before = gateway.worker.calls.length
  const requests = Array.from({ length: DRAWS }, (_, seed) => malformedRequest(kind, seed))
  const faults = await Promise.all(
    requests.map(async (request) => {
      const fault = faultIn(request, await exchange(gateway.port, request.bytes, request.end === 'cut', SENTINEL))
      return fault === null ? null : `${fault}: ${JSON.stringify(request.bytes.toString('latin1', 0, 200))}`
    }),
  )
  expect(faults.filter((fault) => fault !== null)).toEqual([])
  const targets = gateway.worker.calls.slice(before).map(({ request }) => `/fn/witness${request.target}`)
  expect(targets).not.toContain(WITNESS_PATH)
})
