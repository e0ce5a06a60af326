// Quotas on a real Redis: a change is whole, reaches other processes, lasts, and is read from the file while Redis is away.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Documents } from '../../worker/registry/documents.ts'
import { Quotas } from '../../worker/registry/quotas.ts'
import { connectRedis } from '../../worker/store/connect.ts'
import { eventually, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'

let server: TestRedis
let stateDir: string
let open: { close(): Promise<void> }[]
beforeEach(async () => {
  server = await startTestRedis()
  stateDir = mkdtempSync(join(tmpdir(), 'thaw-quotas-'))
  open = []
})
afterEach(async () => {
  for (const part of open.reverse()) await part.close()
  await server.close()
  rmSync(stateDir, { recursive: true })
})

async function openQuotas(directory = stateDir, socketPath = server.socketPath): Promise<Quotas> {
  const redis = connectRedis({ socketPath }, silentLogger)
  open.push(redis)
  if (socketPath === server.socketPath) await redis.waitAvailable(10_000)
  const options = { redis, stateDir: directory, kind: 'quotas', logger: silentLogger }
  const documents = await new Documents<number | null>(options).open()
  open.push(documents)
  return new Quotas({ documents, settings: {}, host: {} })
}

test('a change reaches another process, where changes of two at once to different keys both hold', async () => {
  const elsewhere = mkdtempSync(join(tmpdir(), 'thaw-quotas-'))
  const [one, other] = [await openQuotas(), await openQuotas(elsewhere)]
  await Promise.all([one.set('shop', { functions: 3, secrets: null }), other.set('shop', { schedules: 9 })])
  for (const quotas of [one, other])
    await eventually('both changes are known', () => {
      const { functions, secrets, schedules } = quotas.boundsOf('shop')
      return functions === 3 && secrets === null && schedules === 9
    })
  rmSync(elsewhere, { recursive: true })
})

test('bounds outlive the process, and hold from the file while Redis is away', async () => {
  await (await openQuotas()).set('shop', { functions: 3, memory: null })
  expect((await openQuotas()).quotaOf('shop', 'functions')).toBe(3)
  const without = await openQuotas(stateDir, join(stateDir, 'no-redis.sock'))
  expect([without.quotaOf('shop', 'functions'), without.quotaOf('shop', 'memory')]).toEqual([3, null])
  await expect(without.set('shop', { functions: 4 })).rejects.toMatchObject({ code: 'REGISTRY_UNAVAILABLE' })
})
