// Networks of functions as their users meet them, on an Internet of the test's own: what they reach, what they do not, rates,
// metering, calls between functions, and that nothing is left.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { INTERNET, type Internet, makeInternet } from '../support/internet.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

const TRAVELLER = 'test/fixtures/functions/traveller.ts'
let internet: Internet
let platform: Platform

beforeAll(async () => {
  internet = await makeInternet()
  const within = { namespace: internet.namespace, address: internet.address }
  const env = { ...internet.env, FN_EGRESS_ALLOW: 'db.corp,192.168.7.0/24' }
  platform = await startPlatform({ within, env })
  await platform.deploy(TRAVELLER, '--name', 'alone')
  await platform.deploy(TRAVELLER, '--name', 'free', '--network', 'bridge')
  const hosts = ['api.example.com:80', INTERNET.other].flatMap((host) => ['--allow-host', host])
  await platform.deploy(TRAVELLER, '--name', 'bound', '--network', 'bridge', ...hosts)
})
afterAll(async () => {
  try {
    await platform?.stop()
  } finally {
    await internet?.close()
  }
})

async function travel(name: string, query: string, headers: Record<string, string> = {}): Promise<unknown> {
  const response = await platform.request(`/fn/${name}?${query}`, { headers })
  const text = await response.text()
  return response.status === 200 ? JSON.parse(text) : `${response.status} ${text}`
}
const connect = (name: string, target: string) => travel(name, `connect=${target}`)

describe('what a function reaches', () => {
  test('without a network: nothing, not even an interface', async () => {
    expect(await travel('alone', '')).toMatchObject({ interfaces: ['lo'] })
    expect(await connect('alone', `${INTERNET.web}:80`)).toBe('ENETUNREACH')
    expect(await travel('alone', 'resolve=api.example.com')).toMatch(/ECONNREFUSED|ESERVFAIL|EAI_AGAIN/)
  })

  test('with a bridge: public servers by name, as coming from the host', async () => {
    const { status, text } = (await travel('free', 'fetch=http://api.example.com/')) as { status: number; text: string }
    expect(status).toBe(200)
    expect(JSON.parse(text)).toMatchObject({ at: INTERNET.web, from: internet.uplink })
  })

  test.each([
    ['a private address', `${INTERNET.database}:80`],
    ['the metadata service', `${INTERNET.metadata}:80`],
    ['a shared address', `${INTERNET.shared}:80`],
    ['the host by an address of its own', '203.0.113.2:80'],
  ])('%s is refused at once', async (_what, target) => {
    expect(await connect('free', target)).toBe('ECONNREFUSED')
    expect(internet.seen()).not.toContain(`web ${target.split(':')[0]} from ${internet.uplink}`)
  })

  test('what an administrator allows is reached by address and by name', async () => {
    expect(await connect('free', `${INTERNET.neighbour}:80`)).toBe('connected')
    expect(await travel('free', 'resolve=db.corp')).toEqual([INTERNET.database])
    expect(await connect('free', `${INTERNET.database}:5432`)).toBe('connected')
  })

  test('with allowHosts: those alone, each at its port', async () => {
    expect(await travel('bound', 'fetch=http://api.example.com/')).toMatchObject({ status: 200 })
    expect(await connect('bound', `${INTERNET.web}:5432`)).toBe('ECONNREFUSED')
    expect(await connect('bound', `${INTERNET.other}:5432`)).toBe('connected')
    expect(await travel('bound', 'resolve=other.example.com')).toBe('EREFUSED')
    expect(await connect('bound', `${INTERNET.neighbour}:80`)).toBe('ECONNREFUSED')
  })

  test('a frozen sandbox keeps its network', async () => {
    const [sandbox] = (await platform.json<{ id: string; function: string }[]>('/v1/sandboxes')).filter(
      (one) => one.function === 'bound',
    )
    await until('it is idle or frozen', async () => {
      const answer = await platform.request(`/v1/sandboxes/${sandbox!.id}/freeze`, { method: 'POST' })
      return answer.ok || answer.text()
    })
    expect(await travel('bound', 'fetch=http://api.example.com/')).toMatchObject({ status: 200 })
  })
})

describe('limits and metering', () => {
  const TRIES = 4
  /** Never above the rate; and up to it, in one of some tries: a machine with other things to do may not get there in each. */
  const expectRate = async (rateOf: () => Promise<number>, asked: number) => {
    const rates: number[] = []
    do rates.push(await rateOf())
    while (rates.at(-1)! < asked * 0.8 && rates.length < TRIES)
    expect(Math.max(...rates), rates.join(' ')).toBeLessThan(asked * 1.2)
    expect(Math.max(...rates), rates.join(' ')).toBeGreaterThan(asked * 0.8)
  }

  test('bytes are metered for each call', async () => {
    const response = await platform.request('/fn/free?fetch=http://api.example.com/bytes/300000')
    await response.text()
    const path = `/v1/invocations/${response.headers.get('fn-invocation-id')}`
    const { metering } = await platform.json<{ metering: { netRxBytes: number; netTxBytes: number } }>(path)
    expect(metering.netRxBytes).toBeGreaterThan(300_000)
    expect(metering.netRxBytes).toBeLessThan(360_000)
    expect(metering.netTxBytes).toBeGreaterThan(200)
    expect(metering.netTxBytes).toBeLessThan(60_000)
  })

  test('a rate holds for what is received and what is sent, and can be lower for one call', async () => {
    const [rx, tx] = [2 * 1024 ** 2, 1024 ** 2]
    const rates = ['--network-rx-bps', String(rx), '--network-tx-bps', String(tx)]
    await platform.deploy(TRAVELLER, '--name', 'slow', '--network', 'bridge', ...rates)
    const rateOf = async (query: string, headers: Record<string, string> = {}) =>
      ((await travel('slow', query, headers)) as { rate: number }).rate
    await expectRate(() => rateOf('fetch=http://api.example.com/bytes/3000000'), rx)
    await expectRate(() => rateOf('fetch=http://api.example.com/&send=1500000'), tx)
    const lower = { 'fn-limit-network-rx-bps': '512k' }
    await expectRate(() => rateOf('fetch=http://api.example.com/bytes/700000', lower), 512 * 1024)
    const higher = await platform.request('/fn/slow', { headers: { 'fn-limit-network-rx-bps': '8m' } })
    expect([higher.status, await higher.text()]).toEqual([400, expect.stringContaining('networkRxBps')])
  })
})

describe('functions of one network', () => {
  beforeAll(async () => {
    for (const network of ['shop', 'bank']) expect((await platform.fn('network', 'create', network)).code).toBe(0)
    await platform.deploy(TRAVELLER, '--name', 'orders', '--network', 'shop')
    await platform.deploy(TRAVELLER, '--name', 'stock', '--network', 'shop', '--no-public')
    await platform.deploy(TRAVELLER, '--name', 'vault', '--network', 'bank')
  })

  test('call each other by name without a token, frozen ones too, and cannot say who they are', async () => {
    for (let call = 0; call < 2; call++) {
      const answer = (await travel('orders', 'fetch=http://stock.fn.internal/')) as { status: number; text: string }
      expect(answer.status, answer.text).toBe(200)
      expect(JSON.parse(answer.text)).toMatchObject({ caller: 'orders', depth: '1' })
      for (const { id, state } of await platform.json<{ id: string; state: string; function: string }[]>(
        '/v1/sandboxes',
      ))
        if (state === 'idle') await platform.request(`/v1/sandboxes/${id}/freeze`, { method: 'POST' })
    }
  })

  test('neither know nor reach those of another, or of none', async () => {
    expect(await travel('orders', 'fetch=http://vault.fn.internal/')).toBe('ENOTFOUND')
    expect(await travel('orders', 'fetch=http://free.fn.internal/')).toBe('ENOTFOUND')
    expect(await travel('free', 'fetch=http://stock.fn.internal/')).toBe('ENOTFOUND')
  })

  test('that call each other in a circle are stopped', async () => {
    await platform.deploy(TRAVELLER, '--name', 'circle', '--network', 'shop', '--sandbox-concurrency', '32')
    const response = await platform.request('/fn/circle?circle=circle')
    expect([response.status, await response.text()]).toEqual([508, expect.stringContaining('CALL_LOOP')])
    await until('each of the calls has its record, and there are no more', async () => {
      const calls = await platform.json<unknown[]>('/v1/invocations?function=circle&limit=100')
      return calls.length === 17 || `${calls.length} records`
    })
  })

  test('keep their network from being removed', async () => {
    const refused = await platform.fn('network', 'rm', 'shop')
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/circle, orders, stock.*NETWORK_IN_USE/s)])
    expect((await platform.fn('network', 'ls')).stdout).toMatch(/shop +circle, orders, stock/)
    expect((await platform.fn('rm', 'vault')).code).toBe(0)
    expect((await platform.fn('network', 'rm', 'bank')).code).toBe(0)
  })
})

describe('what is refused at deploy', () => {
  test.each([
    [['--network', 'host'], /FN_HOST_NETWORK=1/],
    [['--network', 'nowhere'], /fn network create nowhere/],
    [['--network', 'bridge', '--allow-host', '10.9.9.9:5432'], /--egress-allow 10\.9\.9\.9/],
    [['--allow-host', 'api.example.com'], /the function has no network/],
    [['--network-rx-bps', '1m'], /the function has no network/],
  ])('%j, with the way out', async (flags, words) => {
    const refused = await platform.fn('deploy', TRAVELLER, '--name', 'refused', ...flags)
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(words)])
  })
})

test('a killed platform leaves no table, no interface and no switch, and starts again with its networks', async () => {
  await platform.kill9()
  await internet.excuseConnections()
  await until('the guard has cleaned up', async () => {
    const left = `${await internet.inside('nft list tables; cat /proc/sys/net/ipv4/ip_forward')}${await internet.inside('cat /proc/self/net/dev')}`
    return !/thaw|thw|^1$/m.test(left) || left
  })
  await platform.restart()
  expect(await travel('orders', 'fetch=http://stock.fn.internal/')).toMatchObject({ status: 200 })
})

test('what even the guard could not remove, the next start does', async () => {
  await platform.kill9('everything')
  await internet.excuseConnections()
  await platform.restart()
  expect(await internet.inside('nft list tables')).not.toContain('thaw')
  expect(await travel('free', 'fetch=http://api.example.com/')).toMatchObject({ status: 200 })
})
