// One namespace that asks for all of the host, by a token of its own: each quota by what it stops, while a neighbour in another
// namespace is served warm and cold and notices nothing.
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Platform, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'
import { type Neighbour, type NeighbourReport, settleNeighbour } from './neighbour.ts'
import { type Attacker, attackerOf, EVIL, handler } from './uploads.ts'

const MIB = 1024 ** 2
/** Enough for the neighbour, who has the same. */
const QUOTAS = {
  FN_QUOTA_MIN_WARM: '2',
  FN_QUOTA_FUNCTIONS: '4',
  FN_QUOTA_VERSIONS: '3',
  FN_QUOTA_SECRETS: '3',
  FN_QUOTA_SCHEDULES: '3',
  FN_QUOTA_VOLUMES_BYTES: '64m',
  FN_QUOTA_SANDBOXES: '4',
  FN_QUOTA_REQUESTS_PER_SECOND: '200',
}
const ANSWERS = handler('return new Response("ok")')
const SLEEPS = handler('return new Promise((done)=>setTimeout(()=>done(new Response("ok")),400))')

let platform: Platform
let neighbour: Neighbour
let evil: Attacker
beforeAll(async () => {
  platform = await startPlatform({ env: QUOTAS })
  neighbour = await settleNeighbour(platform, { namespace: 'good' })
  evil = await attackerOf(platform, ['deploy', 'invoke'])
})
afterAll(() => platform.stop())

function expectUnharmed(report: NeighbourReport): void {
  expect(report).toMatchObject({ errors: [], coldErrors: [] })
  expect(report.calls).toBeGreaterThan(0)
}

interface Refusal {
  readonly status: number
  readonly code: string
  readonly quota: string
  readonly bound: number
  readonly inUse: number
}
const refusalIn = (text: string) => JSON.parse(text) as Refusal
const put = (path: string, body: string | object) =>
  evil.request(path, { method: 'PUT', body: typeof body === 'string' ? body : JSON.stringify(body) })
const set = (bounds: object) =>
  platform.json(`/v1/namespaces/${EVIL}/quotas`, { method: 'PUT', body: JSON.stringify(bounds) })
const deployAs = (name: string, source: string, manifest: object = {}) =>
  evil.deploy({ name, source, manifest: JSON.stringify({ entry: 'x.js', form: 'web', ...manifest }) })

/** Statuses of so many puts, and the refusal of the first that was refused. */
async function putAll(paths: readonly string[], body: string | object) {
  const statuses: number[] = []
  let refusal: Refusal | null = null
  for (const path of paths) {
    const response = await put(path, body)
    statuses.push(response.status)
    const text = await response.text()
    if (response.status >= 400) refusal ??= refusalIn(text)
  }
  return { statuses, refusal }
}

describe('what is held', () => {
  test('minWarm of 100 is refused at the deploy, and nothing of it is started', async () => {
    const report = await neighbour.during(() => deployAs('hog', ANSWERS, { minWarm: 100, limits: { memory: '1g' } }))
    expectUnharmed(report)
    expect(report.attack.status).toBe(403)
    expect(refusalIn(report.attack.text)).toMatchObject({
      code: 'QUOTA_EXCEEDED',
      quota: 'minWarm',
      bound: 2,
      inUse: 0,
    })
    expect(await (await evil.request('/v1/sandboxes')).json()).toEqual([])
    expect((await evil.request('/v1/functions/hog')).status).toBe(404)
  })

  test('functions beyond the bound are refused, versions too, until one is removed', async () => {
    for (let nth = 1; nth <= 3; nth++) expect((await deployAs('one', `${ANSWERS}//${nth}`)).status).toBeLessThan(300)
    const fourth = await deployAs('one', `${ANSWERS}//4`)
    expect([fourth.status, refusalIn(fourth.text)]).toMatchObject([403, { quota: 'versions', bound: 3, inUse: 3 }])
    expect((await evil.request('/fn/one')).status).toBe(200)
    expect((await evil.request('/v1/functions/one/versions/3', { method: 'DELETE' })).status).toBe(409)
    const removed = await platform.fn('--namespace', EVIL, 'rm', 'one@1')
    expect([removed.code, removed.stdout.trim()]).toEqual([0, 'removed one@1'])
    expect((await deployAs('one', `${ANSWERS}//4`)).status).toBe(201)
    for (const name of ['two', 'three', 'four']) expect((await deployAs(name, ANSWERS)).status).toBe(201)
    const fifth = await deployAs('five', ANSWERS)
    expect([fifth.status, refusalIn(fifth.text)]).toMatchObject([403, { quota: 'functions', bound: 4, inUse: 4 }])
  })

  test('secrets, schedules and bytes of volumes are refused at the bound; what is there stays and works', async () => {
    const secrets = await putAll(
      ['A', 'B', 'C', 'D'].map((name) => `/v1/secrets/${name}`),
      'value',
    )
    expect(secrets).toMatchObject({ statuses: [201, 201, 201, 403], refusal: { quota: 'secrets', bound: 3, inUse: 3 } })
    const paths = ['a', 'b', 'c', 'd'].map((name) => `/v1/functions/one/schedules/${name}`)
    const schedules = await putAll(paths, { cron: '0 0 1 1 *' })
    expect(schedules).toMatchObject({ statuses: [201, 201, 201, 403], refusal: { quota: 'schedules', inUse: 3 } })
    const volumes = await putAll(['/v1/volumes/a', '/v1/volumes/b', '/v1/volumes/c'], { size: '30m' })
    expect(volumes).toMatchObject({
      statuses: [201, 201, 403],
      refusal: { quota: 'volumesBytes', bound: 64 * MIB, inUse: 60 * MIB },
    })
    expect((await put('/v1/secrets/A', 'other')).status).toBe(200)
  })

  test('bytes of images are refused at the bound, and nothing of what was refused stays', async () => {
    const inUse = async () =>
      ((await (await evil.request(`/v1/namespaces/${EVIL}/quotas`)).json()) as { imagesBytes: { inUse: number } })
        .imagesBytes.inUse
    const before = await inUse()
    expect(before).toBeGreaterThan(0)
    await platform.fn('namespace', 'set', EVIL, `imagesBytes=${before + 64 * 1024}`)
    const large = await deployAs('two', `${ANSWERS}//${'x'.repeat(128 * 1024)}`)
    expect(large.status).toBe(403)
    expect(refusalIn(large.text)).toMatchObject({ quota: 'imagesBytes', inUse: before })
    expect(await inUse()).toBe(before)
    expect(await (await evil.request('/v1/functions/two/versions')).json()).toHaveLength(1)
    await platform.fn('namespace', 'set', EVIL, 'imagesBytes=default')
  })

  test('fn namespace shows use against bound; a bound lowered below what is in use refuses only more', async () => {
    const shown = await platform.fn('namespace', 'set', EVIL, 'secrets=1', 'memory=512m', 'requestsPerSecond=none')
    expect(shown.stdout).toMatch(/^secrets +3 +1 +namespace$/m)
    expect(shown.stdout).toMatch(/^functions +4 +4 +setting$/m)
    expect(shown.stdout).toMatch(/^memory .* 512 MiB +namespace$/m)
    expect(shown.stdout).toMatch(/^requestsPerSecond +\S+ +none +namespace$/m)
    expect((await put('/v1/secrets/D', 'value')).status).toBe(403)
    expect(await (await evil.request('/v1/secrets')).json()).toHaveLength(3)
    const own = (await (await evil.request(`/v1/namespaces/${EVIL}`)).json()) as { quotas: Record<string, object> }
    expect(own.quotas.secrets).toMatchObject({ bound: 1, inUse: 3 })
    expect((await evil.request('/v1/namespaces/good')).status).toBe(403)
    expect((await put(`/v1/namespaces/${EVIL}/quotas`, { secrets: null })).status).toBe(403)
    const listed = await platform.fn('namespace', 'ls')
    expect(listed.stdout).toMatch(/^evil +4 +\d+ +3 +1$/m)
    const wrong = await platform.fn('namespace', 'set', EVIL, 'secret=1')
    expect([wrong.code === 0, wrong.stderr]).toEqual([false, expect.stringContaining('did you mean secrets')])
    await set({ secrets: 'default', memory: 'default', requestsPerSecond: 'default' })
  })
})

/** Calls of all functions at once, over and over, for so long; how they ended, and the most sandboxes and bytes seen. */
async function callAll(ms: number): Promise<{ statuses: number[]; sandboxes: number; memory: number }> {
  const statuses: number[] = []
  const seen = { sandboxes: 0, memory: 0 }
  const end = performance.now() + ms
  const callers = ['one', 'two', 'three', 'four']
    .flatMap((name) => [name, name, name])
    .map(async (name) => {
      while (performance.now() < end) {
        const response = await evil.request(`/fn/${name}`)
        statuses.push(response.status)
        await response.arrayBuffer()
      }
    })
  const watch = async () => {
    while (performance.now() < end) {
      const { quotas } = await platform.json<{ quotas: Record<string, { inUse: number }> }>(`/v1/namespaces/${EVIL}`)
      const all = await platform.json<object[]>('/v1/sandboxes', { headers: { 'fn-namespace': EVIL } })
      seen.sandboxes = Math.max(seen.sandboxes, all.length, quotas.sandboxes!.inUse)
      seen.memory = Math.max(seen.memory, quotas.memory!.inUse)
      await delay(50)
    }
  }
  await Promise.all([...callers, watch()])
  return { statuses, ...seen }
}

describe('what runs', () => {
  beforeAll(async () => {
    await set({ versions: 'none' })
    for (const name of ['one', 'two', 'three', 'four']) expect((await deployAs(name, SLEEPS)).status).toBe(201)
    await set({ versions: 'default' })
  })

  test('sandboxes are never more than the bound; calls beyond wait and are answered', async () => {
    const report = await neighbour.during(() => callAll(2500))
    expectUnharmed(report)
    const { statuses, sandboxes } = report.attack
    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(statuses.length).toBeGreaterThan(12)
    expect(sandboxes).toBeLessThanOrEqual(4)
    expect(sandboxes).toBeGreaterThan(1)
  })

  test('memory reserved by what runs is never more than the bound', async () => {
    await set({ memory: '300m' })
    await until('what is above it has gone or is frozen', async () => {
      const { quotas } = await platform.json<{ quotas: Record<string, { inUse: number }> }>(`/v1/namespaces/${EVIL}`)
      return quotas.memory!.inUse <= 300 * MIB
    })
    const report = await neighbour.during(() => callAll(2500))
    expectUnharmed(report)
    expect(new Set(report.attack.statuses)).toEqual(new Set([200]))
    expect(report.attack.memory).toBeLessThanOrEqual(300 * MIB)
    const large = await deployAs('four', ANSWERS, { limits: { memory: '400m' } })
    expect([large.status, refusalIn(large.text)]).toMatchObject([403, { quota: 'memory', bound: 300 * MIB }])
    await set({ memory: 'default' })
  })

  test('requests a second above the bound get a Retry-After, with and without a token', async () => {
    await set({ requestsPerSecond: 20 })
    await delay(1000)
    const headers = { 'fn-namespace': EVIL }
    const report = await neighbour.during(async () => {
      const end = performance.now() + 1500
      const answers: Response[] = []
      while (performance.now() < end) {
        const batch = Array.from({ length: 10 }, () => fetch(`${platform.url}/fn/nobody`, { headers }))
        for (const response of await Promise.all(batch)) {
          answers.push(response)
          await response.arrayBuffer()
        }
      }
      return answers
    })
    expectUnharmed(report)
    const passed = report.attack.filter(({ status }) => status === 404).length
    const refused = report.attack.filter(({ status }) => status === 429)
    // A second's worth at once, and what comes within the time.
    expect(passed).toBeLessThan(20 + 20 * 4)
    expect(refused.length).toBeGreaterThan(passed)
    expect(refused[0]!.headers.get('retry-after')).toBe('1')
    const metrics = await (await platform.request('/metrics')).text()
    for (const quota of [
      'minWarm',
      'functions',
      'versions',
      'secrets',
      'schedules',
      'volumesBytes',
      'requestsPerSecond',
    ])
      expect(metrics).toMatch(new RegExp(`^thaw_quota_refused_total\\{quota="${quota}",namespace="evil"\\} [1-9]`, 'm'))
    expect(metrics).not.toMatch(/thaw_quota_refused_total\{[^}]*namespace="good"/)
    await set({ requestsPerSecond: 'none' })
  })
})
