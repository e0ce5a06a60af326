import { describe, expect, test } from 'vitest'
import type { LimitSupport } from '../../../runtime/api.ts'
import { createLimitCheck } from '../../../runtime/limit-check.ts'
import { DEFAULT_LIMITS, type LimitName } from '../../../runtime/limits/limits.ts'

const yes: LimitSupport = { enforced: true, how: 'a file' }
const all = Object.fromEntries(Object.keys(DEFAULT_LIMITS).map((name) => [name, yes])) as Record<
  LimitName,
  LimitSupport
>
const none: LimitSupport = { enforced: false, how: 'no bfq disk', fix: 'set the scheduler to bfq' }
const lacking = { ...all, blkioWeight: none, blkioWeightDevice: none, memorySwap: none }
const check = createLimitCheck({
  support: lacking,
  supportNow: () => lacking,
  hardLimits: { nofile: 4096 },
  resolveDisk: (path) => {
    if (path !== '/dev/sda') throw new Error(`${path} is no disk`)
    return '8:0'
  },
  usesBfq: () => false,
  bfqDisks: () => [],
  hostCpus: new Set([0, 1]),
})

describe('limits asked for', () => {
  test('pass where the host enforces them', () => {
    expect(() => check({ memory: 64, cpuShares: 2, deviceReadBps: [{ device: '/dev/sda', rate: 4096 }] })).not.toThrow()
  })

  test('are refused with the limit’s name and what would turn it on', () => {
    expect(() => check({ blkioWeight: 300 })).toThrow('blkioWeight: no bfq disk; set the scheduler to bfq')
    expect(() => check({ blkioWeight: 300 })).toThrow(expect.objectContaining({ code: 'LIMIT_UNSUPPORTED' }))
  })

  test('name CPUs that are there', () => {
    expect(() => check({ cpusetCpus: '0-1' })).not.toThrow()
    expect(() => check({ cpusetCpus: '1-2' })).toThrow('cpusetCpus: 1-2: there is no CPU 2 here; name some of 0,1')
  })

  test('are no more CPUs’ time than the host has, as docker has it; what a function has from before goes on to hold', () => {
    for (const cpus of [0.01, 1.5, 2]) expect(() => check({ cpus })).not.toThrow()
    const refused = expect.objectContaining({
      code: 'LIMIT_UNSUPPORTED',
      message: 'cpus: 99: there are 2 CPUs here; ask for 0.01 to 2',
    })
    expect(() => check({ cpus: 99 })).toThrow(refused)
    expect(() => check({ cpus: 2.01 })).toThrow('cpus: 2.01: there are 2 CPUs here')
    expect(() => check({ memory: 64 }, { ...DEFAULT_LIMITS, cpus: 99 })).not.toThrow()
  })

  test('pass when what the host lacked at the start is there now', () => {
    const late = createLimitCheck({
      support: lacking,
      supportNow: () => all,
      hardLimits: {},
      resolveDisk: () => '8:0',
      usesBfq: () => true,
      bfqDisks: () => ['sda'],
    })
    expect(() => late({ blkioWeight: 300, memorySwap: -1 })).not.toThrow()
  })

  test('never fail for what was not asked: defaults, null, empty lists', () => {
    expect(() => check({ blkioWeight: null, blkioWeightDevice: [] })).not.toThrow()
    expect(() => check({})).not.toThrow()
  })

  test('may always forbid swap', () => {
    expect(() => check({ memory: 64, memorySwap: 64 })).not.toThrow()
    expect(() => check({ memory: 64, memorySwap: 128 })).toThrow('memorySwap')
  })

  test('name only disks of this host', () => {
    expect(() => check({ deviceWriteIops: [{ device: '/dev/nope', rate: 1 }] })).toThrow('/dev/nope is no disk')
  })

  describe('of I/O weights', () => {
    const able = { support: all, supportNow: () => all, hardLimits: {}, resolveDisk: () => '8:0' }
    const none = createLimitCheck({ ...able, usesBfq: () => false, bfqDisks: () => [] })
    const some = createLimitCheck({ ...able, usesBfq: () => true, bfqDisks: () => ['sda'] })
    const scratch = { ...DEFAULT_LIMITS, scratch: 1024 ** 2 }

    test('need a scratch disk where no disk of the host uses bfq', () => {
      expect(() => none({ blkioWeight: 300 }, DEFAULT_LIMITS)).toThrow('--scratch')
      expect(() => none({ blkioWeight: 300 }, scratch)).not.toThrow()
      expect(() => some({ blkioWeight: 300 }, DEFAULT_LIMITS)).not.toThrow()
    })

    test('of a device need bfq on that device, and the way there is said', () => {
      const asked = { blkioWeightDevice: [{ device: '/dev/sda', weight: 200 }] }
      expect(() => none(asked)).toThrow('echo bfq > /sys/dev/block/8:0/queue/scheduler')
      expect(() => some(asked)).not.toThrow()
    })
  })

  test('cannot raise an rlimit above the platform’s own', () => {
    expect(() => check({ ulimits: [{ name: 'nofile', soft: 1, hard: 4097 }] })).toThrow('4096')
    expect(() => check({ ulimits: [{ name: 'nofile', soft: 1, hard: 4096 }] })).not.toThrow()
  })
})
