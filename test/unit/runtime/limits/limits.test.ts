// Docker's limits: parsing, fitting together, and what a call may ask for.
import { describe, expect, test } from 'vitest'
import { cpusOf, lowerLimits, mergeLimits } from '../../../../runtime/limits/limit-rules.ts'
import {
  DEFAULT_LIMITS,
  LIMITS,
  LimitError,
  type Limits,
  parseLimit,
  parseLimits,
} from '../../../../runtime/limits/limits.ts'

const MIB = 1024 ** 2
const OWN: Limits = { ...DEFAULT_LIMITS }
const raising = (name: string, message: RegExp) =>
  expect.objectContaining({ name: 'LimitError', limit: name, message: expect.stringMatching(message) })

describe('one limit', () => {
  test.each([
    ['cpuShares', '512', 512],
    ['cpus', '0.5', 0.5],
    ['cpus', 2, 2],
    ['cpusetCpus', '0-1,3', '0-1,3'],
    ['memory', '64m', 64 * MIB],
    ['memory', 64 * MIB, 64 * MIB],
    ['memorySwap', '-1', -1],
    ['memorySwap', -1, -1],
    ['memorySwappiness', '0', 0],
    ['pids', '1', 1],
    ['blkioWeight', '10', 10],
    ['blkioWeightDevice', '/dev/sda:200', [{ device: '/dev/sda', weight: 200 }]],
    ['deviceReadBps', '/dev/sda:8m', [{ device: '/dev/sda', rate: 8 * MIB }]],
    ['deviceWriteBps', '8m', [{ device: null, rate: 8 * MIB }]],
    [
      'deviceReadIops',
      '/dev/sda:100, /dev/sdb:50',
      [
        { device: '/dev/sda', rate: 100 },
        { device: '/dev/sdb', rate: 50 },
      ],
    ],
    ['deviceWriteIops', ['100'], [{ device: null, rate: 100 }]],
    ['ulimits', 'nofile=1024:2048', [{ name: 'nofile', soft: 1024, hard: 2048 }]],
    ['ulimits', ['core=0'], [{ name: 'core', soft: 0, hard: 0 }]],
    ['tmpfs', '64k', 65_536],
  ])('%s: %j is taken', (name, value, parsed) => expect(parseLimit(name, value)).toEqual(parsed))

  test.each([
    ['cpuShares', '1', /2 to 262144, got "1"/],
    ['cpuShares', '262145', /2 to 262144/],
    ['cpuShares', '1.5', /whole number/],
    ['cpus', '0', /0.01/],
    ['cpus', 'two', /got "two"/],
    ['cpusetCpus', '1-0', /rising/],
    ['cpusetCpus', 'all', /CPU list/],
    ['memory', '15m', /16m to 1024g/],
    ['memory', '-1', /size/],
    ['memory', 'lots', /size such as 64m/],
    ['memory', null, /expected bytes, got null/],
    ['memorySwap', '-2', /size/],
    ['pids', '0', /from 1/],
    ['blkioWeight', '9', /10 to 1000/],
    ['blkioWeight', '1001', /10 to 1000/],
    ['blkioWeightDevice', 'sda:200', /DEVICE:WEIGHT/],
    ['deviceReadBps', '/dev/sda', /DEVICE:RATE/],
    ['deviceReadBps', '1k', /4096/],
    ['deviceReadIops', '/dev/sda:0', /from 1/],
    ['ulimits', 'nofile', /NAME=SOFT/],
    ['ulimits', 'files=1', /unknown ulimit files/],
    ['ulimits', 'nofile=2:1', /above hard/],
    ['memroy', '64m', /unknown limit; known: cpuShares/],
  ])('%s: %j is refused', (name, value, message) => {
    expect(() => parseLimit(name, value)).toThrow(raising(name, message))
  })

  test('an object of limits stops at its first bad one', () => {
    expect(parseLimits({ memory: '64m', pids: 5 })).toEqual({ memory: 64 * MIB, pids: 5 })
    expect(() => parseLimits({ memory: '1m' })).toThrow(LimitError)
  })

  test('the table names every limit once, in kebab-case too', () => {
    expect(LIMITS.map((limit) => limit.name).sort()).toEqual(Object.keys(DEFAULT_LIMITS).sort())
    expect(LIMITS.find((limit) => limit.name === 'deviceReadBps')).toMatchObject({
      kebab: 'device-read-bps',
      repeated: true,
    })
    expect(LIMITS.filter((limit) => !limit.perCall).map((limit) => limit.name)).toEqual(['ulimits', 'tmpfs', 'scratch'])
  })

  test('CPU lists are sets', () => expect([...cpusOf('0-2,5')]).toEqual([0, 1, 2, 5]))
})

describe('limits of a function', () => {
  test('memory alone doubles into memorySwap', () => {
    expect(mergeLimits(OWN, { memory: 64 * MIB }).memorySwap).toBe(128 * MIB)
    expect(mergeLimits(OWN, { memory: 64 * MIB, memorySwap: -1 }).memorySwap).toBe(-1)
    expect(mergeLimits(OWN, { pids: 5 })).toEqual({ ...OWN, pids: 5 })
  })

  test.each([
    [{ memorySwap: 64 * MIB }, 'memorySwap', /below memory/],
    [{ memoryReservation: 256 * MIB }, 'memoryReservation', /above memory/],
    [{ deviceReadBps: [{ device: null, rate: MIB }] }, 'deviceReadBps', /--scratch/],
  ] as const)('%j does not fit together', (asked, name, message) => {
    expect(() => mergeLimits(OWN, asked)).toThrow(raising(name, message))
  })

  test('a rate without a device is fine with a scratch disk', () => {
    const asked = { scratch: 64 * MIB, deviceReadBps: [{ device: null, rate: MIB }] }
    expect(mergeLimits(OWN, asked).deviceReadBps).toEqual(asked.deviceReadBps)
  })
})

describe('limits of one call', () => {
  test.each([
    [{ memory: 64 * MIB }],
    [{ memorySwap: 128 * MIB }],
    [{ cpuShares: 2 }],
    [{ cpus: 64 }],
    [{ cpusetCpus: '0' }],
    [{ blkioWeight: 500 }],
    [{ deviceReadBps: [{ device: '/dev/sda', rate: MIB }] }],
  ])('%j is no higher than the defaults', (asked) => expect(lowerLimits(OWN, {}, asked)).toMatchObject(asked))

  test.each([
    ['memory', { memory: 256 * MIB }],
    ['memorySwap', { memorySwap: -1 }],
    ['cpuShares', { cpuShares: 2048 }],
    ['pids', { pids: 65 }],
    ['blkioWeight', { blkioWeight: 501 }],
  ] as const)('a higher %s is refused, naming the maximum', (name, asked) => {
    expect(() => lowerLimits(OWN, {}, asked)).toThrow(raising(name, /above the function's maximum/))
  })

  test('maxLimits open the way up to themselves', () => {
    const max = { memory: 512 * MIB, memorySwap: 512 * MIB }
    expect(lowerLimits(OWN, max, { memory: 512 * MIB })).toMatchObject({ memory: 512 * MIB, memorySwap: 512 * MIB })
    expect(() => lowerLimits(OWN, max, { memory: 513 * MIB })).toThrow(raising('memory', /513m .* 512m/))
  })

  test('a refusal says sizes as people write them', () => {
    expect(() => lowerLimits({ ...OWN, memory: 128 * MIB }, {}, { memory: 900 * 1024 * MIB })).toThrow(
      "memory: 900g is above the function's maximum 128m (maxLimits)",
    )
  })

  test("memory alone lowers memorySwap to twice itself, never above the function's", () => {
    expect(lowerLimits(OWN, {}, { memory: 32 * MIB }).memorySwap).toBe(64 * MIB)
    const tight = { ...OWN, memorySwap: OWN.memory }
    expect(lowerLimits(tight, {}, { memory: 96 * MIB }).memorySwap).toBe(128 * MIB)
    expect(lowerLimits({ ...OWN, memorySwap: -1 }, {}, { memory: 32 * MIB }).memorySwap).toBe(64 * MIB)
  })

  test("memory alone takes the function's reservation down with it", () => {
    const reserved = { ...OWN, memoryReservation: 100 * MIB }
    expect(lowerLimits(reserved, {}, { memory: 64 * MIB }).memoryReservation).toBe(64 * MIB)
    expect(lowerLimits(reserved, {}, { memory: 128 * MIB }).memoryReservation).toBe(100 * MIB)
    expect(() => lowerLimits(reserved, {}, { memory: 64 * MIB, memoryReservation: 65 * MIB })).toThrow(LimitError)
  })

  test('a CPU set must be a subset, and unlimited is above any quota', () => {
    const own = { ...OWN, cpusetCpus: '0-1', cpus: 1 }
    expect(lowerLimits(own, {}, { cpusetCpus: '1' }).cpusetCpus).toBe('1')
    expect(() => lowerLimits(own, {}, { cpusetCpus: '1-2' })).toThrow(raising('cpusetCpus', /0-1/))
    expect(() => lowerLimits(own, {}, { cpus: null })).toThrow(raising('cpus', /maximum 1/))
  })

  test('a rate of the function must stay in the list, no higher', () => {
    const own = { ...OWN, deviceWriteBps: [{ device: '/dev/sda', rate: MIB }] }
    const other = { device: '/dev/sdb', rate: MIB }
    const lower = { device: '/dev/sda', rate: MIB / 2 }
    expect(lowerLimits(own, {}, { deviceWriteBps: [lower, other] }).deviceWriteBps).toEqual([lower, other])
    expect(() => lowerLimits(own, {}, { deviceWriteBps: [other] })).toThrow(raising('deviceWriteBps', /maximum/))
    expect(() => lowerLimits(own, {}, { deviceWriteBps: [{ device: '/dev/sda', rate: 2 * MIB }] })).toThrow(LimitError)
  })

  test('an I/O weight needs a disk to share: not the own one of a function deployed without', () => {
    const scratch = { ...OWN, scratch: MIB }
    expect(() => lowerLimits(scratch, {}, { blkioWeight: 100 })).toThrow(raising('blkioWeight', /--blkio-weight/))
    expect(lowerLimits({ ...scratch, blkioWeight: 300 }, {}, { blkioWeight: 100 }).blkioWeight).toBe(100)
    expect(lowerLimits(OWN, {}, { blkioWeight: 100 }).blkioWeight).toBe(100)
  })

  test.each([{ tmpfs: 65_536 }, { scratch: MIB }, { ulimits: [] }])('%j is fixed when the sandbox is made', (asked) => {
    expect(() => lowerLimits(OWN, {}, asked)).toThrow(raising(Object.keys(asked)[0]!, /cannot change per call/))
  })
})
