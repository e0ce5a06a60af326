// Callers without a token fill the durable lane of one namespace as fast as they can: its quotas refuse them, what the platform holds
// of it stays bounded, and a neighbour's calls, asynchronous calls and schedules go on.
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Platform, startPlatform } from '../support/platform.ts'
import { timeScale } from '../support/time-scale.ts'
import { type Neighbour, settleNeighbour } from './neighbour.ts'

const FLOOD_MS = 4_000
const CLIENTS = 16
const BOUND_BYTES = 4 * 1024 ** 2
const BODY = 'b'.repeat(60_000)

let platform: Platform
let neighbour: Neighbour
beforeAll(async () => {
  platform = await startPlatform({
    env: { FN_QUOTA_QUEUED_BYTES: `${BOUND_BYTES}`, FN_QUOTA_RESULT_BYTES: `${BOUND_BYTES}` },
  })
  const deployed = await platform.fn('--namespace', 'loud', 'deploy', 'functions/echo.ts', '--name', 'echo')
  expect(deployed.code, deployed.stderr).toBe(0)
  neighbour = await settleNeighbour(platform)
})
afterAll(() => platform?.stop())

interface QuotaAnswer {
  readonly inUse: number
}

async function inUse(key: string): Promise<number> {
  const { quotas } = await platform.json<{ quotas: Record<string, QuotaAnswer> }>('/v1/namespaces/loud')
  return quotas[key]!.inUse
}

/** Statuses that anonymous callers get, counted, and the most that was queued and kept meanwhile. */
async function flood(): Promise<{ statuses: Record<number, number>; queued: number; kept: number }> {
  const statuses: Record<number, number> = {}
  const most = { queued: 0, kept: 0 }
  const end = performance.now() + FLOOD_MS
  const client = async (): Promise<void> => {
    while (performance.now() < end) {
      const response = await fetch(`${platform.url}/fn/echo`, {
        method: 'POST',
        headers: { prefer: 'respond-async', 'fn-namespace': 'loud' },
        body: BODY,
      })
      await response.arrayBuffer()
      statuses[response.status] = (statuses[response.status] ?? 0) + 1
      if (response.status === 429) expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
    }
  }
  const look = async (): Promise<void> => {
    while (performance.now() < end) {
      most.queued = Math.max(most.queued, await inUse('queuedBytes'))
      most.kept = Math.max(most.kept, await inUse('resultBytes'))
      await delay(100)
    }
  }
  await Promise.all([look(), ...Array.from({ length: CLIENTS }, client)])
  return { statuses, ...most }
}

test('a flood of asynchronous calls without a token stops at the namespace’s quotas, and the neighbour notices nothing', async () => {
  const made = await platform.fn(...['--namespace', 'neighbours', 'schedule', 'warm', 'set', 'often', '* * * * * *'])
  expect(made.code, made.stderr).toBe(0)
  const headers = { 'fn-namespace': 'neighbours' }
  const report = await neighbour.during(async () => {
    const calls: number[] = []
    const beside = (async () => {
      for (let index = 0; index < 5; index++) {
        const response = await platform.request('/fn/warm', {
          method: 'POST',
          headers: { ...headers, prefer: 'respond-async' },
          body: 'x',
        })
        calls.push(response.status)
        const { id } = (await response.json()) as { id: string }
        const result = await platform.request(`/v1/invocations/${id}/result?wait=10s`, { headers })
        calls.push(result.status)
        await result.arrayBuffer()
      }
    })()
    const flooded = await flood()
    await beside
    return { ...flooded, calls }
  })
  const { statuses, queued, kept, calls } = report.attack
  expect(
    Object.keys(statuses).every((status) => ['202', '429'].includes(status)),
    JSON.stringify(statuses),
  ).toBe(true)
  expect(statuses[202]).toBeGreaterThan(0)
  expect(queued).toBeLessThanOrEqual(BOUND_BYTES)
  expect(kept).toBeLessThanOrEqual(BOUND_BYTES)
  expect(queued + kept).toBeGreaterThan(BODY.length)
  expect(calls).toEqual(Array.from({ length: 10 }, (_none, index) => (index % 2 === 0 ? 202 : 200)))
  expect(report).toMatchObject({ errors: [], coldErrors: [] })
  const { last } = await platform.json<{ last: { scheduledAt: string; firedAt: string } }>(
    '/v1/functions/warm/schedules/often',
    { headers },
  )
  expect(Date.parse(last.firedAt) - Date.parse(last.scheduledAt)).toBeLessThan(2_000 * timeScale)
})
