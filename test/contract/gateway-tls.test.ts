// TLS at the listener with a certificate's files, as `fn up` reads them; and what is said when they are bad.
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readTlsFiles } from '../../cli/up/tls-files.ts'
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

test.each([
  [{ certFile: '/nowhere/cert.pem', keyFile }, 'FN_TLS_CERT: /nowhere/cert.pem cannot be read (ENOENT)'],
  [{ certFile: keyFile, keyFile }, 'are no certificate'],
])('files that are not right are named: %o', (files, words) => {
  expect(() => readTlsFiles(files)).toThrow(words)
})
