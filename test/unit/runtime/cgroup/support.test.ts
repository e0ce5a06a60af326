// What `fn doctor` and refusals say of each limit on hosts of all kinds.
import { describe, expect, test } from 'vitest'
import type { CgroupFeatures } from '../../../../runtime/cgroup/features.ts'
import { ociResources } from '../../../../runtime/cgroup/oci-resources.ts'
import { describeSupport } from '../../../../runtime/cgroup/support.ts'
import { DEFAULT_LIMITS } from '../../../../runtime/limits/limits.ts'

const EVERYTHING: CgroupFeatures = {
  cpuset: true,
  quota: true,
  swapAccounting: true,
  swappiness: true,
  reservation: true,
  ioRates: true,
  ioWeight: true,
  bfqDisks: ['sda'],
  bfqOffered: true,
  swapOnHost: true,
  freezer: 'cgroup.freeze',
}
const support = (features: Partial<CgroupFeatures>, scratchAvailable = true) =>
  describeSupport({
    mode: 'hybrid',
    memoryVersion: 1,
    ioVersion: 1,
    features: { ...EVERYTHING, ...features },
    scratchAvailable,
  })

describe('support of limits', () => {
  test('a host with everything enforces everything', () => {
    for (const [name, entry] of Object.entries(support({}))) expect(entry, name).toMatchObject({ enforced: true })
  })

  test.each([
    [{ bfqDisks: [] }, ['blkioWeightDevice'], /bfq/],
    [{ bfqDisks: [], bfqOffered: false }, ['blkioWeight', 'blkioWeightDevice'], /bfq/],
    [{ ioWeight: false }, ['blkioWeight', 'blkioWeightDevice'], /BFQ/],
    [{ swapAccounting: false }, ['memorySwap'], /swapaccount=1/],
    [{ swappiness: false }, ['memorySwappiness'], /v1/],
    [{ ioRates: false }, ['deviceReadBps', 'deviceWriteBps', 'deviceReadIops', 'deviceWriteIops'], /blkio/],
    [{ cpuset: false }, ['cpusetCpus'], /cpuset/],
    [{ quota: false }, ['cpus'], /CFS_BANDWIDTH/],
    [{ reservation: false }, ['memoryReservation'], /v2/],
  ] as const)('without %j, %j are not enforced, and the fix is said', (features, names, fix) => {
    const lacking = Object.entries(support(features)).filter(([, entry]) => !entry.enforced)
    expect(lacking.map(([name]) => name)).toEqual(names)
    for (const [, entry] of lacking) expect(entry.fix).toMatch(fix)
  })

  test('without swap on the host the cap still holds, and the report says what that means', () => {
    expect(support({ swapOnHost: false }).memorySwap).toMatchObject({
      enforced: true,
      how: expect.stringContaining('no swap'),
    })
    expect(support({}).memorySwap.how).not.toContain('no swap')
  })

  test('without scratch disks only named devices are left', () => {
    expect(support({}, false).scratch).toMatchObject({ enforced: false, fix: expect.stringContaining('mkfs.ext4') })
    expect(support({}, false).deviceReadBps).toMatchObject({
      enforced: true,
      how: expect.stringContaining('no scratch disk'),
    })
  })
})

describe('resources of the OCI configuration', () => {
  test('all that must hold from the first instruction, and no quota', () => {
    expect(ociResources({ ...DEFAULT_LIMITS, cpus: 0.5, cpusetCpus: '0' }, true)).toEqual({
      devices: [{ allow: false, access: 'rwm' }],
      memory: { limit: 128 * 1024 ** 2, swap: 256 * 1024 ** 2 },
      cpu: { shares: 1024, cpus: '0' },
      pids: { limit: 64 },
    })
  })

  test('no swap limit where the kernel has no file for it', () => {
    expect(ociResources(DEFAULT_LIMITS, false).memory).toEqual({ limit: 128 * 1024 ** 2 })
  })
})
