import { describe, expect, test } from 'vitest'
import { applyCeilings, expectUnderCeilings, type LimitCeiling } from '../../../../runtime/limits/ceilings.ts'
import { mergeLimits } from '../../../../runtime/limits/limit-rules.ts'
import { DEFAULT_LIMITS, type Limits } from '../../../../runtime/limits/limits.ts'

const MIB = 1024 ** 2
const host = (limit: LimitCeiling['limit'], value: LimitCeiling['value']): LimitCeiling => ({
  limit,
  value,
  scope: 'host',
  source: `FN_HOST_MAX_${limit}`,
})
const apply = (asked: Partial<Limits>, ...ceilings: LimitCeiling[]) =>
  applyCeilings(mergeLimits(DEFAULT_LIMITS, asked), asked, {}, ceilings)

describe('the highest limits of a host', () => {
  test.each([
    ['memory', { memory: 256 * MIB }, 128 * MIB, /256m is above the host's maximum 128m \(FN_HOST_MAX_memory\)/],
    ['cpus', { cpus: 2 }, 1.5, /2 is above the host's maximum 1.5/],
    ['cpuShares', { cpuShares: 2048 }, 1024, /cpuShares/],
    ['memorySwap', { memorySwap: -1 }, 512 * MIB, /no limit is above the host's maximum 512m/],
    ['pids', { pids: 65 }, 64, /pids/],
    ['cpusetCpus', { cpusetCpus: '0-2' }, '0-1', /0-2 is above the host's maximum 0-1/],
    ['tmpfs', { tmpfs: 65 * MIB }, 64 * MIB, /tmpfs/],
    ['scratch', { scratch: 65 * MIB }, 64 * MIB, /scratch/],
    ['blkioWeight', { blkioWeight: 600 }, 500, /600 is above/],
  ] as const)('%s asked for above the maximum is refused with both and the setting', (limit, asked, highest, text) => {
    expect(() => apply(asked, host(limit, highest))).toThrow(text)
    expect(() => apply(asked, host(limit, highest))).toThrow(expect.objectContaining({ code: 'LIMIT', limit }))
  })

  test('what was not asked for comes down to them', () => {
    const limits = apply({}, host('cpus', 1), host('pids', 32), host('cpusetCpus', '0'), host('tmpfs', 8 * MIB))
    expect(limits).toMatchObject({ cpus: 1, pids: 32, cpusetCpus: '0', tmpfs: 8 * MIB, scratch: null })
    expect(apply({ cpus: 0.5 }, host('cpus', 1)).cpus).toBe(0.5)
  })

  test('lowered memory takes its swap down with it, lowered swap the memory that nobody asked for', () => {
    expect(apply({}, host('memory', 64 * MIB))).toMatchObject({ memory: 64 * MIB, memorySwap: 128 * MIB })
    expect(apply({}, host('memorySwap', 96 * MIB))).toMatchObject({ memory: 96 * MIB, memorySwap: 96 * MIB })
    expect(apply({ memory: 80 * MIB }, host('memorySwap', 96 * MIB))).toMatchObject({
      memory: 80 * MIB,
      memorySwap: 96 * MIB,
    })
    expect(() => apply({ memory: 128 * MIB }, host('memorySwap', 96 * MIB))).toThrow(/memory: 128m is above.*96m/)
  })

  test('a rate on the scratch disk binds those that have one, and keeps what is lower already', () => {
    const ceiling = host('deviceWriteBps', [{ device: null, rate: 8 * MIB }])
    expect(apply({}, ceiling).deviceWriteBps).toEqual([])
    expect(apply({ scratch: MIB }, ceiling).deviceWriteBps).toEqual([{ device: null, rate: 8 * MIB }])
    const slow = { scratch: MIB, deviceWriteBps: [{ device: null, rate: MIB }] }
    expect(apply(slow, ceiling).deviceWriteBps).toEqual(slow.deviceWriteBps)
    const fast = { scratch: MIB, deviceWriteBps: [{ device: null, rate: 9 * MIB }] }
    expect(() => apply(fast, ceiling)).toThrow(/deviceWriteBps/)
  })

  test('a function’s own maxLimits are no way around', () => {
    const ceilings = [host('memory', 128 * MIB)]
    expect(() => applyCeilings(DEFAULT_LIMITS, {}, { memory: 256 * MIB }, ceilings)).toThrow(/256m is above the host/)
  })

  test('the lower of two scopes counts, and is named', () => {
    const namespace: LimitCeiling = { limit: 'pids', value: 16, scope: 'namespace', source: 'FN_NAMESPACE_MAX_PIDS' }
    expect(apply({}, host('pids', 32), namespace).pids).toBe(16)
    expect(() => apply({ pids: 20 }, host('pids', 32), namespace)).toThrow(
      /namespace's maximum 16 \(FN_NAMESPACE_MAX_PIDS\)/,
    )
  })

  test('limits kept from times of higher maxima are refused', () => {
    expect(() => expectUnderCeilings(DEFAULT_LIMITS, [host('memory', 64 * MIB)])).toThrow(/128m is above the host/)
    expect(() => expectUnderCeilings(DEFAULT_LIMITS, [host('memory', 128 * MIB), host('scratch', MIB)])).not.toThrow()
  })
})
