// Which bound holds, what a refusal says, and what is counted. Changes through Redis: test/contract/quotas.test.ts.
import { describe, expect, test } from 'vitest'
import { QuotaExceeded } from '../../../../worker/registry/quota-exceeded.ts'
import { QuotaRate } from '../../../../worker/registry/quota-rates.ts'
import { parseQuota, QUOTAS, quotaSetting } from '../../../../worker/registry/quota-table.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { quotasInMemory } from '../../../support/quota-book.ts'

describe('the bound of a namespace', () => {
  test('is its own, else the setting, else the default', async () => {
    const quotas = quotasInMemory({ functions: 7 })
    expect(quotas.quotaOf('shop', 'secrets')).toBe(1000)
    expect(quotas.quotaOf('shop', 'functions')).toBe(7)
    await quotas.set('shop', { functions: 3, secrets: null })
    expect([quotas.quotaOf('shop', 'functions'), quotas.quotaOf('shop', 'secrets')]).toEqual([3, null])
    expect(quotas.quotaOf('other', 'functions')).toBe(7)
    await quotas.set('shop', { functions: 'default' })
    expect([quotas.quotaOf('shop', 'functions'), quotas.quotaOf('shop', 'secrets')]).toEqual([7, null])
    const view = await quotas.view('shop')
    expect([view.functions.source, view.secrets.source, view.versions.source]).toEqual([
      'setting',
      'namespace',
      'default',
    ])
  })

  test('follows from the host where no number fits all, but for the namespace default, which may use all of it', async () => {
    const quotas = quotasInMemory({}, { sandboxes: 75, memory: 4096 })
    expect([quotas.quotaOf('shop', 'sandboxes'), quotas.quotaOf('shop', 'memory')]).toEqual([75, 4096])
    expect([quotas.quotaOf('default', 'sandboxes'), quotas.quotaOf('default', 'memory')]).toEqual([null, null])
    await quotas.set('default', { sandboxes: 5 })
    expect(quotas.quotaOf('default', 'sandboxes')).toBe(5)
  })

  test('is read without making anything: the same object until one changes', async () => {
    const quotas = quotasInMemory()
    await quotas.set('shop', { functions: 3 })
    const before = quotas.boundsOf('shop')
    expect(quotas.boundsOf('shop')).toBe(before)
    await quotas.set('shop', { functions: 4 })
    expect(quotas.boundsOf('shop').functions).toBe(4)
  })
})

test('what is asked beyond the bound is refused with quota, bound and use, and counted', async () => {
  const quotas = quotasInMemory()
  await quotas.set('shop', { functions: 3 })
  quotas.expect('shop', 'functions', 2)
  const attempt = () => quotas.expect('shop', 'functions', 3)
  expect(attempt).toThrow(QuotaExceeded)
  expect(attempt).toThrow(
    /at its quota functions: 3 in use of 3; remove some, or raise .*fn namespace set shop functions/,
  )
  // Lowered below what is in use: only more is refused, and the use is told as it is.
  await quotas.set('shop', { functions: 1 })
  expect(attempt).toThrow(
    expect.objectContaining({ use: { namespace: 'shop', quota: 'functions', bound: 1, inUse: 3 } }),
  )
  expect([...quotas.refusals()]).toEqual([{ namespace: 'shop', quota: 'functions', count: 3 }])
})

test('refusals of more namespaces than a thousand are counted together', () => {
  const quotas = quotasInMemory()
  for (let index = 0; index < 1100; index++) quotas.countRefusal(`ns-${index}`, 'secrets')
  const all = [...quotas.refusals()]
  expect(all).toHaveLength(1001)
  expect(all.at(-1)).toEqual({ namespace: '_other', quota: 'secrets', count: 100 })
})

describe('a rate', () => {
  test('is each namespace’s own: one that is at its bound takes nothing from another', async () => {
    const clock = new FakeClock()
    const quotas = quotasInMemory({ requestsPerSecond: 5 })
    const rate = new QuotaRate(quotas, 'requestsPerSecond', clock)
    for (let count = 0; count < 5; count++) rate.expect('evil')
    expect(() => rate.expect('evil')).toThrow(
      expect.objectContaining({ use: expect.objectContaining({ bound: 5, inUse: 5 }), retryAfterS: 1 }),
    )
    rate.expect('good')
    expect((await quotas.view('evil')).requestsPerSecond).toMatchObject({ bound: 5, inUse: 5 })
    clock.pass(200)
    rate.expect('evil')
    expect(rate.take('evil')).toBeGreaterThan(0)
  })

  test('without a bound it is not counted, and a bound that is set holds at once', async () => {
    const quotas = quotasInMemory({ requestsPerSecond: null })
    const rate = new QuotaRate(quotas, 'requestsPerSecond', new FakeClock())
    for (let count = 0; count < 100; count++) rate.expect('shop')
    await quotas.set('shop', { requestsPerSecond: 1 })
    rate.expect('shop')
    expect(() => rate.expect('shop')).toThrow(QuotaExceeded)
  })

  test('names that nobody has made do not grow it without bound', () => {
    const clock = new FakeClock()
    const rate = new QuotaRate(quotasInMemory({ requestsPerSecond: 5 }), 'requestsPerSecond', clock)
    for (let index = 0; index < 10_000; index++) rate.take(`name-${index}`, 5)
    for (let index = 0; index < 5; index++) rate.take('more', 1)
    expect([rate.inUse('name-0'), rate.inUse('name-1'), rate.inUse('more')]).toEqual([0, 5, 5])
  })
})

describe('the table', () => {
  test('names a setting for each quota as the other settings are named', () => {
    expect(QUOTAS.map(({ key }) => quotaSetting(key))).toContain('FN_QUOTA_MIN_WARM')
    for (const { key } of QUOTAS) expect(quotaSetting(key)).toMatch(/^FN_QUOTA_[A-Z]+(_[A-Z]+)*$/)
  })

  test.each([
    ['functions', '20', 20],
    ['functions', 0, 0],
    ['functions', 'none', null],
    ['functions', null, null],
    ['memory', '512m', 512 * 1024 ** 2],
    ['memory', 1024 ** 3, 1024 ** 3],
    ['requestsPerSecond', '1', 1],
  ] as const)('%s takes %j', (key, value, bound) => {
    expect(parseQuota(key, value)).toBe(bound)
  })

  test.each([
    ['functions', '1k', 'functions: expected a whole number from 0 to 1000000000, or none, got "1k"'],
    ['functions', -1, 'functions: expected a whole number from 0'],
    ['functions', 1.5, 'functions: expected a whole number'],
    ['functions', {}, 'functions: expected a whole number'],
    ['memory', '2 apples', 'memory: expected a size of at least 1m such as 512m, or none, got "2 apples"'],
    ['memory', '1k', 'memory: expected a size of at least 1m'],
    ['requestsPerSecond', 0, 'requestsPerSecond: expected a whole number from 1'],
    ['sandboxes', '0', 'sandboxes: expected a whole number from 1'],
    ['callbacks', '9'.repeat(400), 'callbacks: expected a whole number from 1'],
  ] as const)('%s refuses %j', (key, value, message) => {
    expect(() => parseQuota(key, value)).toThrow(message)
  })
})
