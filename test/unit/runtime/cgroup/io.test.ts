// Rates, weights and counters of disks in both dialects.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { backingDisk, bfqDisks, deviceNumber, resolveDisk } from '../../../../runtime/cgroup/devices.ts'
import { IoController } from '../../../../runtime/cgroup/io.ts'
import { findCgroupTree } from '../../../../runtime/cgroup/tree.ts'
import { DEFAULT_LIMITS, type Limits } from '../../../../runtime/limits/limits.ts'
import { FakeCgroupfs } from '../../../support/fake-cgroupfs.ts'
import { RecordingDirectory } from '../../../support/recording-directory.ts'

const PATH = '/thaw-t/s'
const THROTTLE = 'blkio.throttle'
const limits = (asked: Partial<Limits>): Limits => ({ ...DEFAULT_LIMITS, ...asked })

describe.each(['v1', 'v2'] as const)('block I/O, %s', (mode) => {
  let fake: FakeCgroupfs
  let writes: string[]
  let io: IoController
  const expectWrites = (v1: string[], v2: string[]) => expect(writes.splice(0)).toEqual(mode === 'v1' ? v1 : v2)

  function open(scratchDisk: string | null, backing: string | null = null): void {
    fake.make(PATH)
    const tree = findCgroupTree(fake.mountinfo, fake.root)
    const directory = new RecordingDirectory(tree, PATH, () => null)
    const place = tree.place('io')
    if (place === null) throw new Error('the fake has block I/O')
    const resolveDisk = (path: string) => (path === '/dev/sda' ? '8:0' : '8:16')
    io = new IoController(directory, place, { scratchDisk, backingDisk: backing, resolveDisk })
    writes = directory.writes
  }
  beforeEach(() => {
    fake = new FakeCgroupfs(mode)
  })
  afterEach(() => {
    io.close()
    fake.dispose()
  })

  test('the scratch disk has a rule from the start where counting needs one', () => {
    open('7:3')
    expectWrites([`${THROTTLE}.read_bps_device 7:3 ${2 ** 50}`], [])
  })

  test('rates of named disks are written, changed and taken away one by one', () => {
    open(null)
    io.apply(
      limits({
        deviceReadBps: [{ device: '/dev/sda', rate: 4096 }],
        deviceWriteIops: [{ device: '/dev/sda', rate: 10 }],
      }),
    )
    expect(writes.splice(0)).toEqual(
      mode === 'v1'
        ? [`${THROTTLE}.read_bps_device 8:0 4096`, `${THROTTLE}.write_iops_device 8:0 10`, 'blkio.bfq.weight 500']
        : ['io.max 8:0 rbps=4096 wiops=10', 'io.bfq.weight default 500'],
    )
    io.apply(limits({ deviceReadBps: [{ device: '/dev/sda', rate: 8192 }] }))
    expectWrites(
      [`${THROTTLE}.read_bps_device 8:0 8192`, `${THROTTLE}.write_iops_device 8:0 0`],
      ['io.max 8:0 rbps=8192 wiops=max'],
    )
    io.apply(limits({}))
    expectWrites([`${THROTTLE}.read_bps_device 8:0 0`], ['io.max 8:0 rbps=max'])
    io.apply(limits({}))
    expectWrites([], [])
  })

  test('the lowest of several rates for one disk counts', () => {
    open(null)
    io.apply(
      limits({
        deviceReadIops: [
          { device: '/dev/sda', rate: 50 },
          { device: '/dev/sda', rate: 900 },
        ],
      }),
    )
    expect(writes[0]).toBe(mode === 'v1' ? `${THROTTLE}.read_iops_device 8:0 50` : 'io.max 8:0 riops=50')
  })

  test('lifted rates come back as they were, and the scratch disk goes on counting', () => {
    open('7:3')
    io.apply(limits({ scratch: 1, deviceReadBps: [{ device: null, rate: 4096 }] }))
    writes.splice(0)
    io.lift()
    io.lift()
    expectWrites([`${THROTTLE}.read_bps_device 7:3 ${2 ** 50}`], ['io.max 7:3 rbps=max'])
    io.restore()
    io.restore()
    expectWrites([`${THROTTLE}.read_bps_device 7:3 4096`], ['io.max 7:3 rbps=4096'])
  })

  test('weights go down to disks and back to the default', () => {
    open(null)
    io.apply(limits({ blkioWeight: 100, blkioWeightDevice: [{ device: '/dev/sda', weight: 200 }] }))
    expectWrites(
      ['blkio.bfq.weight 100', 'blkio.bfq.weight_device 8:0 200'],
      ['io.bfq.weight default 100', 'io.bfq.weight 8:0 200'],
    )
    io.apply(limits({}))
    expectWrites(
      ['blkio.bfq.weight 500', 'blkio.bfq.weight_device 8:0 default'],
      ['io.bfq.weight default 500', 'io.bfq.weight 8:0 default'],
    )
  })

  test('counters are sums over disks, without the one beneath the scratch disk', () => {
    open('7:3', '254:0')
    if (mode === 'v1') {
      fake.write(
        PATH,
        `${THROTTLE}.io_service_bytes_recursive`,
        '7:3 Read 100\n7:3 Write 20\n7:3 Total 120\n8:0 Read 7\n254:0 Read 900\nTotal 1000',
      )
      fake.write(PATH, `${THROTTLE}.io_serviced_recursive`, '7:3 Read 3\n7:3 Write 2\n254:0 Write 9\nTotal 14')
    } else {
      fake.write(
        PATH,
        'io.stat',
        '7:3 rbytes=100 wbytes=20 rios=3 wios=2 dbytes=5 dios=1\n8:0 rbytes=7 wbytes=0 rios=0 wios=0\n254:0 rbytes=900 wios=9',
      )
    }
    expect(io.counters()).toEqual({ readBytes: 107, writeBytes: 20, readOps: 3, writeOps: 2 })
  })

  test('a rate without a device needs a scratch disk', () => {
    open(null)
    expect(() => io.apply(limits({ deviceReadBps: [{ device: null, rate: 1 }] }))).toThrow(/deviceReadBps .*--scratch/)
  })
})

describe('disks', () => {
  test('device numbers are read as Linux packs them', () => {
    expect(deviceNumber(0x801)).toBe('8:1')
    expect(deviceNumber(0xfe00)).toBe('254:0')
    expect(deviceNumber(0x10_0800)).toBe('8:256')
  })

  test('what is no disk is refused by name', () => {
    expect(() => resolveDisk('/dev/null')).toThrow(/\/dev\/null is not a block device/)
    expect(() => resolveDisk('/dev/no-such-disk')).toThrow(/no device \/dev\/no-such-disk/)
  })

  test('a disk without a file below it has no backing disk, and a host without sysfs no bfq', () => {
    expect(backingDisk('1:1', '/nonexistent')).toBeNull()
    expect(bfqDisks('/nonexistent')).toEqual([])
  })
})
