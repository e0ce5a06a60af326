import { expect, test } from 'vitest'
import { parseQuotaSettings, QUOTA_SETTINGS } from '../../../cli/quota-settings.ts'
import { hostQuotas } from '../../../cli/up/quotas.ts'
import { QUOTAS } from '../../../worker/registry/quota-table.ts'
import { quotasInMemory } from '../../support/quota-book.ts'

test('each quota has one setting, whose shown default is one that it takes', () => {
  expect(QUOTA_SETTINGS).toHaveLength(QUOTAS.length)
  const env = Object.fromEntries(QUOTA_SETTINGS.map(({ name, fallback }) => [name, fallback]))
  const problems: string[] = []
  const bounds = parseQuotaSettings(env, problems)
  expect(problems).toEqual([])
  for (const { key, fallback } of QUOTAS) expect(bounds[key] ?? null).toBe(fallback)
})

test('what is not set stays out; none lifts', () => {
  expect(parseQuotaSettings({ FN_QUOTA_MIN_WARM: '3', FN_QUOTA_MEMORY: 'none', FN_QUOTA_SECRETS: '' }, [])).toEqual({
    minWarm: 3,
    memory: null,
  })
})

test('a wrong value and an unknown name are said with the setting, what was expected and what is there', () => {
  const problems: string[] = []
  parseQuotaSettings({ FN_QUOTA_FUNCTIONS: 'many', FN_QUOTA_FUNCTION: '3' }, problems)
  expect(problems).toEqual([
    'FN_QUOTA_FUNCTIONS: expected a whole number from 0 to 1000000000, or none, got "many"',
    expect.stringMatching(/^FN_QUOTA_FUNCTION: no such quota; known: SANDBOXES MEMORY MIN_WARM FUNCTIONS /),
  ])
})

test('what follows from the host leaves a neighbour room on the smallest and the largest', () => {
  const MIB = 1024 ** 2
  expect(
    hostQuotas({ places: 1, memoryBytes: 256 * MIB, diskBytes: 600 * MIB, cores: 1, redisBytes: 256 * MIB }),
  ).toEqual({
    sandboxes: 1,
    memory: 192 * MIB,
    minWarm: 4,
    volumesBytes: 300 * MIB,
    imagesBytes: 150 * MIB,
    requestsPerSecond: 5000,
    queuedBytes: 64 * MIB,
    resultBytes: 64 * MIB,
  })
  expect(
    hostQuotas({ places: 1000, memoryBytes: 65_536 * MIB, diskBytes: 2 ** 40, cores: 16, redisBytes: null }),
  ).toEqual({
    sandboxes: 750,
    memory: 49_152 * MIB,
    minWarm: 256,
    volumesBytes: 2 ** 39,
    imagesBytes: 2 ** 38,
    requestsPerSecond: 80_000,
  })
})

test('what calls of one namespace may take of a small Redis leaves room for others, of a large one it is the default', () => {
  const MIB = 1024 ** 2
  const of = (redisBytes: number | null) => {
    const host = hostQuotas({ places: 9, memoryBytes: 1, diskBytes: 1, cores: 1, redisBytes })
    return ['shop', 'default'].map((namespace) => {
      const { queuedBytes, resultBytes } = quotasInMemory({}, host).boundsOf(namespace)
      return [queuedBytes! / MIB, resultBytes! / MIB]
    })
  }
  expect(of(512 * MIB)).toEqual([
    [128, 128],
    [128, 128],
  ])
  expect(of(4096 * MIB)).toEqual(of(null))
  expect(of(null)[0]).toEqual([256, 512])
  expect(quotasInMemory({ queuedBytes: 300 }, { queuedBytes: 100 }).quotaOf('shop', 'queuedBytes')).toBe(300)
})
