// A platform that speaks TLS, started as a user starts it: the address rule, the certificate, SIGHUP.
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import { PLAIN_PATH, spawn } from '../../runtime/host/spawn.ts'
import { freePort, ROOT } from '../support/platform.ts'
import { leftovers } from '../support/platform-leftovers.ts'
import { text } from '../support/streams.ts'
import { until } from '../support/until.ts'

const fixture = (name: string) => join(ROOT, 'test', 'fixtures', 'tls', name)
const up = (env: Record<string, string>) =>
  spawn(join(ROOT, 'bin', 'fn'), ['up'], { cwd: ROOT, env: { PATH: PLAIN_PATH, ...env } })

test('an address that others reach is refused without TLS, with the three ways out', async () => {
  const refused = up({ FN_LISTEN: '0.0.0.0:18999', FN_STATE_DIR: join(tmpdir(), 'thaw-never') })
  const [{ code }, words] = await Promise.all([refused.exited, text(refused.stderr)])
  expect(code).toBe(2)
  for (const word of ['0.0.0.0 is not a loopback address', 'token', 'FN_TLS_CERT', '--behind-proxy'])
    expect(words).toContain(word)
})

test('with a certificate it is not, and SIGHUP brings a new one without a stop', async () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'thaw-tls-'))
  const [certFile, keyFile] = [join(stateDir, 'cert.pem'), join(stateDir, 'key.pem')]
  cpSync(fixture('cert.pem'), certFile)
  cpSync(fixture('key.pem'), keyFile)
  const port = await freePort()
  const env = { FN_LISTEN: `0.0.0.0:${port}`, FN_STATE_DIR: stateDir, FN_TLS_CERT: certFile, FN_TLS_KEY: keyFile }
  const platform = up({ ...env, FN_STEMS: '0' })
  const output = Promise.all([text(platform.stdout), text(platform.stderr)])
  const ca = [readFileSync(fixture('cert.pem')), readFileSync(fixture('renewed-cert.pem'))]
  /** Status of a call over a connection of its own, and the name on the certificate it got. */
  const call = (path: string, headers = {}): Promise<string> =>
    new Promise((resolve) => {
      const sent = request({ host: '127.0.0.1', port, path, ca, headers, agent: false }, (answer) => {
        answer.resume()
        resolve(`${answer.statusCode} ${(answer.socket as TLSSocket).getPeerCertificate().subject.CN}`)
      })
      sent.once('error', (error) => resolve(error.message))
      sent.end()
    })
  try {
    await until(
      'it is ready',
      async () => (await call('/readyz')) === '200 localhost' || (await call('/readyz')),
      60_000,
    )
    const headers = { authorization: `Bearer ${readFileSync(join(stateDir, 'token'), 'utf8').trim()}` }
    expect(await call('/v1/functions', headers)).toBe('200 localhost')
    cpSync(fixture('renewed-cert.pem'), certFile)
    cpSync(fixture('renewed-key.pem'), keyFile)
    platform.kill('SIGHUP')
    await until('the new one is there', async () => (await call('/healthz')) === '200 renewed' || call('/healthz'))
    expect(await call('/v1/functions', headers)).toBe('200 renewed')
  } finally {
    platform.kill('SIGTERM')
    const [stdout, stderr] = await output
    expect((await platform.exited).code, stdout + stderr).toBe(0)
  }
  const id = readFileSync(join(stateDir, 'id'), 'utf8').trim()
  await until('nothing is left', () => leftovers(id, stateDir).length === 0 || leftovers(id, stateDir).join())
  rmSync(stateDir, { recursive: true, force: true })
})
