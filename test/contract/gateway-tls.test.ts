// TLS at the listener with a certificate's files, as `fn up` reads them and reads them anew; and what is said when they are bad.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type SecureVersion } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readTlsFiles } from '../../cli/up/tls-files.ts'
import { TlsRenewal } from '../../cli/up/tls-renewal.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { SILENT } from '../support/fake-gateway-parts.ts'
import { TestGateway, TOKEN } from '../support/gateway.ts'
import { text } from '../support/streams.ts'

const certFile = fileURLToPath(new URL('../fixtures/tls/cert.pem', import.meta.url))
const keyFile = fileURLToPath(new URL('../fixtures/tls/key.pem', import.meta.url))
let gateway: TestGateway

beforeAll(async () => {
  gateway = await TestGateway.start({ tls: readTlsFiles({ certFile, keyFile }) })
  gateway.registry.add('hello')
})
afterAll(() => gateway.stop())

test('the control API answers over TLS, and gives URLs that say so', async () => {
  expect(gateway.gateway.url).toBe(`https://127.0.0.1:${gateway.port}`)
  const body = await new Promise<string>((resolve, reject) => {
    const options = { ca: readFileSync(certFile), headers: { authorization: `Bearer ${TOKEN}` } }
    const sent = request(`${gateway.gateway.url}/v1/functions/hello`, options, (answer) => resolve(text(answer)))
    sent.once('error', reject)
    sent.end()
  })
  expect(JSON.parse(body)).toMatchObject({ name: 'hello', url: expect.stringMatching(/^https:/) })
})

test('plain HTTP gets nothing', async () => {
  await expect(fetch(`http://127.0.0.1:${gateway.port}/healthz`)).rejects.toThrow()
})

/** The common name of the certificate that a connection gets, with the versions it offers; or the error's code. */
function handshake(minVersion: SecureVersion = 'TLSv1.2', maxVersion: SecureVersion = 'TLSv1.3'): Promise<string> {
  return new Promise((resolve) => {
    const ciphers = 'DEFAULT:@SECLEVEL=0'
    const options = {
      rejectUnauthorized: false,
      host: '127.0.0.1',
      port: gateway.port,
      minVersion,
      maxVersion,
      ciphers,
    }
    const socket = connect(options, () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)))
  })
}

test('versions before 1.2 are not spoken', async () => {
  expect(await handshake('TLSv1.2', 'TLSv1.2')).toBe('localhost')
  expect(await handshake('TLSv1.3', 'TLSv1.3')).toBe('localhost')
  for (const version of ['TLSv1', 'TLSv1.1'] as const)
    expect(await handshake(version, version)).toMatch(/ALERT_PROTOCOL_VERSION/)
})

test('changed files are taken for new connections, open ones stay, and what is no pair is not taken', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'thaw-tls-'))
  const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
  const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url))
  cpSync(certFile, files.certFile)
  cpSync(keyFile, files.keyFile)
  const clock = new FakeClock()
  const refused: unknown[] = []
  const logger = { ...SILENT, error: (fields: object) => refused.push(fields) }
  const renewal = new TlsRenewal(files, clock, logger, (tls) => gateway.gateway.renewTls(tls))
  const open = connect({ rejectUnauthorized: false, host: '127.0.0.1', port: gateway.port })
  await new Promise((resolve) => open.once('secureConnect', resolve))
  cpSync(fixture('renewed-cert.pem'), files.certFile)
  await clock.advance(30_000)
  expect([await handshake(), refused.length]).toEqual(['localhost', 1])
  cpSync(fixture('renewed-key.pem'), files.keyFile)
  await clock.advance(30_000)
  expect([await handshake(), refused.length]).toEqual(['renewed', 1])
  const answer = text(open)
  open.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  expect(await answer).toMatch(/^HTTP\/1\.1 200/)
  writeFileSync(files.certFile, 'nonsense')
  renewal.reload()
  expect([await handshake(), refused.length]).toEqual(['renewed', 2])
  renewal.close()
  expect(clock.pending).toBe(0)
  rmSync(folder, { recursive: true })
})

test.each([
  [{ certFile: '/nowhere/cert.pem', keyFile }, 'FN_TLS_CERT: /nowhere/cert.pem cannot be read (ENOENT)'],
  [{ certFile: keyFile, keyFile }, 'are no certificate'],
])('files that are not right are named: %o', (files, words) => {
  expect(() => readTlsFiles(files)).toThrow(words)
})
