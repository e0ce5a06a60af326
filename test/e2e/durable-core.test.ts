// The durable lane's own rules over HTTP: what is tried again and when, dead letters, rates, pages, 503 and back.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { InvocationRecord } from '../../worker/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

const FUNCTIONS = join(ROOT, 'test', 'fixtures', 'functions')

let platform: Platform
beforeAll(async () => {
  platform = await startPlatform()
  await platform.deploy(join(FUNCTIONS, 'flaky.ts'))
  await platform.deploy(join(FUNCTIONS, 'stubborn.ts'))
})
afterAll(() => platform.stop())

async function submit(path: string, headers: Record<string, string> = {}): Promise<string> {
  const response = await platform.request(path, {
    method: 'POST',
    headers: { prefer: 'respond-async', authorization: `Bearer ${platform.token}`, ...headers },
  })
  expect(response.status).toBe(202)
  return response.headers.get('location')!
}
async function endOf(location: string): Promise<InvocationRecord> {
  await (await platform.request(`${location}/result?wait=30s`)).arrayBuffer()
  return await platform.json<InvocationRecord>(location)
}

describe('a retry policy in fn.json', () => {
  test('says what is tried again, how often and how soon', async () => {
    const stubborn = await endOf(await submit('/fn/stubborn?until=4&status=404'))
    expect(stubborn).toMatchObject({ state: 'succeeded', attempt: 4 })
    const given = await endOf(await submit('/fn/stubborn?until=9&status=404'))
    expect(given).toMatchObject({ state: 'failed', attempt: 4, status: 404 })
    const other = await endOf(await submit('/fn/stubborn?until=2&status=500'))
    expect(other).toMatchObject({ state: 'failed', attempt: 1, status: 500 })
  })

  test('gives way to what the call asks for, and the function’s Retry-After comes before both', async () => {
    const one = await endOf(await submit('/fn/stubborn?until=2&status=404', { 'fn-max-attempts': '1' }))
    expect(one).toMatchObject({ state: 'failed', attempt: 1 })
    const later = await endOf(await submit('/fn/stubborn?until=2&status=429&after=1'))
    expect(later).toMatchObject({ state: 'succeeded', attempt: 2 })
    expect(Date.parse(later.startedAt!) - Date.parse(later.createdAt)).toBeGreaterThanOrEqual(1_000)
    const old = await endOf(await submit('/fn/stubborn?until=2&status=429&after=60', { 'fn-max-age': '5s' }))
    expect(old).toMatchObject({ state: 'failed', attempt: 1 })
  })
})

test('a dead letter holds every attempt’s error and metering, and is redriven under the same id', async () => {
  const location = await submit('/fn/flaky?fail=2', { 'fn-max-attempts': '2' })
  expect(await endOf(location)).toMatchObject({ state: 'failed', attempt: 2 })
  const id = location.split('/').at(-1)!
  const letter = await platform.json<{ attempts: { attempt: number; error: { code: string }; metering: object }[] }>(
    `/v1/functions/flaky/dead-letters/${id}`,
  )
  expect(letter.attempts.map(({ attempt, error }) => [attempt, error.code])).toEqual([
    [1, 'FUNCTION_THREW'],
    [2, 'FUNCTION_THREW'],
  ])
  for (const { metering } of letter.attempts) expect(metering).toMatchObject({ exact: true })
  const redriven = await platform.request(`/v1/functions/flaky/dead-letters/${id}/redrive`, { method: 'POST' })
  expect(redriven.ok).toBe(true)
  expect(await endOf(location)).toMatchObject({ id, state: 'succeeded', attempt: 3 })
  expect((await platform.request(`/v1/functions/flaky/dead-letters/${id}`)).status).toBe(404)
})

test('the list shows every call once, page by page, while others come in', async () => {
  const sent: string[] = []
  for (let i = 0; i < 30; i++) sent.push((await submit('/fn/flaky?list')).split('/').at(-1)!)
  await endOf(`/v1/invocations/${sent.at(-1)}`)
  const seen: string[] = []
  let next: string | null = '/v1/invocations?function=flaky&limit=7'
  while (next !== null && seen.length < 200) {
    const page = await platform.request(next)
    seen.push(...((await page.json()) as InvocationRecord[]).map(({ id }) => id))
    next = /<([^>]+)>; rel="next"/.exec(page.headers.get('link') ?? '')?.[1] ?? null
    await submit('/fn/flaky?other')
  }
  expect(new Set(seen).size).toBe(seen.length)
  expect([...seen].sort().reverse()).toEqual(seen)
  expect(sent.every((id) => seen.includes(id))).toBe(true)
})

test('a function’s rate bounds how many of its calls begin in a time', async () => {
  await platform.deploy(join(FUNCTIONS, 'rated.ts'))
  const locations = []
  for (let i = 0; i < 4; i++) locations.push(await submit('/fn/rated'))
  const done = async () => (await platform.json<unknown[]>('/v1/invocations?function=rated&state=succeeded')).length
  await until('two have run', async () => (await done()) === 2)
  await endOf(await submit('/fn/flaky'))
  expect(await done()).toBe(2)
})
