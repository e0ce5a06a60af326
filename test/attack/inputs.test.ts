// What a tenant says to the control API, as large, as deep and as often as it likes: refused with the bound, while a neighbour in another
// namespace is called and what others did stays in the audit log.
import { readdirSync, readFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Platform, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'
import { type Neighbour, settleNeighbour } from './neighbour.ts'
import { type Tenant, tenantOf } from './uploads.ts'

let platform: Platform
let neighbour: Neighbour
let caller: Tenant
beforeAll(async () => {
  platform = await startPlatform({ env: { FN_AUDIT_BYTES: '256k', FN_LOG: 'info' } })
  neighbour = await settleNeighbour(platform)
  caller = await tenantOf(platform, ['invoke'])
})
afterAll(() => platform.stop())

const undisturbed = { errors: [], coldErrors: [] }

function auditLines(): Record<string, unknown>[] {
  const folder = join(platform.stateDir, 'audit')
  const texts = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8').split('\n').slice(0, -1))
  return texts.flat().map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** Asks for a path again and again over 16 connections. */
async function ask(count: number, path: string, token: string): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  let left = count
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const options = { host: '127.0.0.1', port: platform.port, path, agent }
      get({ ...options, headers: { authorization: `Bearer ${token}` } }, (response) => {
        response.resume()
        response.once('end', resolve)
      }).once('error', reject)
    })
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (left-- > 0) await one()
    }),
  )
  agent.destroy()
}

test('a token that may only call cannot push others out of the audit log', async () => {
  await platform.request('/v1/functions/the-evidence', { method: 'DELETE', headers: { 'fn-namespace': 'victim' } })
  const has = () => auditLines().some(({ path }) => path === '/v1/functions/the-evidence')
  await until('the evidence is there', has)
  const before = platform.output().length
  const report = await neighbour.during(() => ask(5000, `/v1/tokens/${'x'.repeat(280)}`, caller.token))
  expect(report).toMatchObject(undisturbed)
  expect(has()).toBe(true)
  const refused = auditLines().filter(({ who, status }) => who === 'invoke' && (status === 403 || status === 429))
  expect(refused.length).toBeGreaterThan(0)
  expect(refused.length).toBeLessThan(10)
  // Nor is there a line of the platform's own log for each.
  expect(platform.output().slice(before).split('\n').length).toBeLessThan(40)
})
