import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createPlainServer } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectionFailure } from '../../../cli/connection-failure.ts'
import { runFn } from '../../support/run-fn.ts'

let folder: string
const servers: Server[] = []
let tlsPort: number
let plainPort: number
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fn-tls-'))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  execFileSync('openssl', [...made, '-keyout', key, '-out', cert, ...names], { stdio: 'pipe' })
  const tls = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, response) => response.end('[]'))
  const plain = createPlainServer((_, response) => response.end('[]'))
  servers.push(tls, plain)
  for (const server of servers) await once(server.listen(0, '127.0.0.1'), 'listening')
  tlsPort = (tls.address() as AddressInfo).port
  plainPort = (plain.address() as AddressInfo).port
})
afterAll(() => {
  for (const server of servers) server.close()
  rmSync(folder, { recursive: true })
})

const listAt = (url: string) => runFn(['ls'], { env: { FN_URL: url, FN_TOKEN: 'fn_t' } })

test('a certificate signed by itself is called that, and how to trust it is said', async () => {
  const { status, stderr } = await listAt(`https://localhost:${tlsPort}`)
  expect(status).toBe(1)
  expect(stderr).toContain('is not accepted: it is signed by itself (DEPTH_ZERO_SELF_SIGNED_CERT)')
  expect(stderr).toContain('NODE_EXTRA_CA_CERTS=')
  expect(stderr).not.toContain('no platform')
})

test('a server without TLS has another message than no server', async () => {
  const { stderr } = await listAt(`https://127.0.0.1:${plainPort}`)
  expect(stderr).toContain(`https://127.0.0.1:${plainPort} does not speak TLS`)
  expect(stderr).toContain(`without TLS: --url http://127.0.0.1:${plainPort}`)
})

test('plain HTTP to a server with TLS says that it broke off, and to try https', async () => {
  const { stderr } = await listAt(`http://127.0.0.1:${tlsPort}`)
  expect(stderr).toContain('broke off')
  expect(stderr).toContain(`--url https://127.0.0.1:${tlsPort}`)
})

test.each([
  ['ECONNREFUSED', /^no platform at http:\/\/x:1$/],
  ['ENOTFOUND', /^no address is known for x \(ENOTFOUND\)$/],
  ['EHOSTUNREACH', /^http:\/\/x:1 cannot be reached from here/],
  ['CERT_HAS_EXPIRED', /is not accepted: it has expired/],
  ['ERR_TLS_CERT_ALTNAME_INVALID', /is not accepted: it is for another name/],
  ['SELF_SIGNED_CERT_IN_CHAIN', /an authority signed it that this machine does not know/],
  ['ECONNRESET', /broke off/],
  ['constructor', /^no platform at http:\/\/x:1 \(constructor\)$/],
])('%s', (code, words) => {
  const failure = connectionFailure(Object.assign(new Error('x'), { code }), 'http://x:1')
  expect(failure.code).toBe('PLATFORM_UNREACHABLE')
  expect(failure.message).toMatch(words)
})
