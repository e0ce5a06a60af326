// The order in which memory limits are written, and what happens when the kernel refuses one.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openMemory } from '../../../../runtime/cgroup/memory.ts'
import { findCgroupTree } from '../../../../runtime/cgroup/tree.ts'
import { DEFAULT_LIMITS, type Limits } from '../../../../runtime/limits/limits.ts'
import { FakeCgroupfs } from '../../../support/fake-cgroupfs.ts'
import { RecordingDirectory } from '../../../support/recording-directory.ts'

const MIB = 1024 ** 2
const PATH = '/thaw-t/s'
const of = (memory: number, memorySwap: number): Limits => ({
  ...DEFAULT_LIMITS,
  memory: memory * MIB,
  memorySwap: memorySwap === -1 ? -1 : memorySwap * MIB,
})

function open(fake: FakeCgroupfs, kernel: (name: string, value: string) => string | null) {
  fake.make(PATH)
  const directory = new RecordingDirectory(findCgroupTree(fake.mountinfo, fake.root), PATH, kernel)
  const memory = openMemory(directory)
  const apply = (limits: Limits) => {
    directory.writes.splice(0)
    return memory.apply(limits)
  }
  return { directory, memory, apply }
}

describe('memory limits, v1', () => {
  const LIMIT = 'memory.limit_in_bytes'
  const SWAP = 'memory.memsw.limit_in_bytes'
  let fake: FakeCgroupfs
  /** What the kernel has; −1 is infinite there. */
  let memory = Number.POSITIVE_INFINITY
  let memorySwap = Number.POSITIVE_INFINITY
  const inUse = { memory: 0, swap: 0 }

  /** The kernel's own rule: memory ≤ memory + swap at every moment (EINVAL), neither below what is in use (EBUSY). */
  function kernel(name: string, value: string): string | null {
    const bytes = value === '-1' ? Number.POSITIVE_INFINITY : Number(value)
    if (name === LIMIT) {
      if (bytes > memorySwap) return 'EINVAL'
      if (bytes < inUse.memory) return 'EBUSY'
      memory = bytes
    } else if (name === SWAP) {
      if (bytes < memory) return 'EINVAL'
      if (bytes < inUse.swap) return 'EBUSY'
      memorySwap = bytes
    }
    return null
  }

  beforeEach(() => {
    fake = new FakeCgroupfs('v1')
    memory = Number.POSITIVE_INFINITY
    memorySwap = Number.POSITIVE_INFINITY
    inUse.swap = 0
  })
  afterEach(() => fake.dispose())

  const PAIRS: [memory: number, memorySwap: number][] = [
    [64, 64],
    [64, 128],
    [128, 128],
    [128, 256],
    [256, 512],
    [64, -1],
    [512, 512],
  ]
  test.each(PAIRS.flatMap((from) => PAIRS.map((to) => [from, to] as const)))(
    '%j to %j is never refused',
    (from, to) => {
      const { apply } = open(fake, kernel)
      expect(apply(of(...from))).toEqual({ applied: true })
      expect(apply(of(...to))).toEqual({ applied: true })
      expect([memory, memorySwap]).toEqual([to[0] * MIB, to[1] === -1 ? Number.POSITIVE_INFINITY : to[1] * MIB])
    },
  )

  test('raising makes room first, lowering leaves it last, and what is in force is not written again', () => {
    const { directory, apply } = open(fake, kernel)
    apply(of(64, 128))
    expect(directory.writes).toEqual([`${LIMIT} ${64 * MIB}`, `${SWAP} ${128 * MIB}`])
    apply(of(128, 256))
    expect(directory.writes).toEqual([`${SWAP} ${256 * MIB}`, `${LIMIT} ${128 * MIB}`])
    apply(of(128, 256))
    expect(directory.writes).toEqual([])
  })

  test('swap in use above the new sum is refused, and memory goes back up', () => {
    const { apply } = open(fake, kernel)
    apply(of(128, 256))
    fake.use(PATH, 40 * MIB)
    fake.write(PATH, 'memory.memsw.usage_in_bytes', String(100 * MIB))
    inUse.swap = 100 * MIB
    const outcome = apply(of(64, 64))
    expect(outcome).toEqual({ applied: false, limit: 'memorySwap', asked: 64 * MIB, inUse: 100 * MIB })
    expect([memory, memorySwap]).toEqual([128 * MIB, 256 * MIB])
  })

  test('a sum raised for memory that is then refused goes back down', () => {
    const { apply } = open(fake, (name, value) =>
      name === LIMIT && Number(value) === 32 * MIB ? 'EBUSY' : kernel(name, value),
    )
    apply(of(128, 128))
    expect(apply(of(32, 256))).toMatchObject({ applied: false, limit: 'memory', asked: 32 * MIB })
    expect([memory, memorySwap]).toEqual([128 * MIB, 128 * MIB])
  })

  test('file cache does not count as in use: the kernel drops it', () => {
    const { directory, apply } = open(fake, kernel)
    apply(of(128, 256))
    fake.use(PATH, 100 * MIB)
    fake.write(PATH, 'memory.stat', `inactive_file ${30 * MIB}\nactive_file ${20 * MIB}`)
    expect(apply(of(64, 128))).toEqual({ applied: true })
    expect(apply(of(32, 64))).toEqual({ applied: false, limit: 'memory', asked: 32 * MIB, inUse: 50 * MIB })
    expect(directory.writes).toEqual([])
  })

  test('without swap accounting only memory is written', () => {
    fake.make(PATH)
    for (const name of ['limit_in_bytes', 'usage_in_bytes', 'max_usage_in_bytes'])
      fake.remove(PATH, `memory.memsw.${name}`)
    const directory = new RecordingDirectory(findCgroupTree(fake.mountinfo, fake.root), PATH, kernel)
    const opened = openMemory(directory)
    expect(opened.apply(of(64, 128))).toEqual({ applied: true })
    expect(directory.writes).toEqual([`${LIMIT} ${64 * MIB}`])
    expect(opened.swapPeakBytes()).toBeNull()
  })

  test('swappiness comes back to what it was', () => {
    const { directory, apply } = open(fake, () => null)
    apply({ ...of(128, 256), memorySwappiness: 10 })
    expect(directory.writes).toContain('memory.swappiness 10')
    apply(of(128, 256))
    expect(directory.writes).toEqual(['memory.swappiness 60'])
  })

  test('a write the kernel refuses for another reason is an error', () => {
    const { apply } = open(fake, (name) => (name === LIMIT ? 'EPERM' : null))
    expect(() => apply(of(64, 128))).toThrow(
      expect.objectContaining({ code: 'LIMIT_WRITE', message: expect.stringContaining('EPERM') }),
    )
  })
})

describe('memory limits, v2', () => {
  let fake: FakeCgroupfs
  beforeEach(() => {
    fake = new FakeCgroupfs('v2')
  })
  afterEach(() => fake.dispose())

  test('memory.max is never written below what is in use, for that kills', () => {
    const { directory, apply } = open(fake, () => null)
    apply(of(128, 256))
    fake.use(PATH, 80 * MIB)
    expect(apply(of(64, 128))).toEqual({ applied: false, limit: 'memory', asked: 64 * MIB, inUse: 80 * MIB })
    expect(directory.writes).toEqual([])
  })

  test('file cache is reclaimed before memory.max goes down', () => {
    const reclaimed = open(fake, (name) => {
      if (name === 'memory.reclaim') fake.use(PATH, 60 * MIB)
      return null
    })
    reclaimed.apply(of(128, 128))
    fake.use(PATH, 100 * MIB)
    fake.write(PATH, 'memory.stat', `inactive_file ${50 * MIB}\nactive_file 0`)
    expect(reclaimed.apply(of(64, 64))).toEqual({ applied: true })
    expect(reclaimed.directory.writes).toEqual([`memory.reclaim ${36 * MIB}`, `memory.max ${64 * MIB}`])
  })

  test('a reclaim that frees too little is a refusal', () => {
    const { directory, apply } = open(fake, (name) => (name === 'memory.reclaim' ? 'EAGAIN' : null))
    apply(of(128, 128))
    fake.use(PATH, 100 * MIB)
    fake.write(PATH, 'memory.stat', `inactive_file ${50 * MIB}\nactive_file 0`)
    expect(apply(of(64, 64))).toEqual({ applied: false, limit: 'memory', asked: 64 * MIB, inUse: 100 * MIB })
    expect(directory.writes).toEqual([`memory.reclaim ${36 * MIB} EAGAIN`])
  })

  test('swap in use above the new swap limit is refused', () => {
    const { apply } = open(fake, () => null)
    apply(of(128, 256))
    fake.write(PATH, 'memory.swap.current', String(50 * MIB))
    expect(apply(of(128, 128))).toEqual({ applied: false, limit: 'memorySwap', asked: 128 * MIB, inUse: 178 * MIB })
  })

  test('a kernel that cannot reset the peak gives the one since the beginning', () => {
    const { memory } = open(fake, (name) => (name === 'memory.peak' ? 'EINVAL' : null))
    fake.write(PATH, 'memory.peak', String(90 * MIB))
    memory.resetPeaks()
    expect(memory.peakBytes()).toBe(90 * MIB)
  })

  test('a kernel without a peak gives what is in use, and says that it is not the call’s peak', () => {
    fake.make(PATH)
    fake.remove(PATH, 'memory.peak')
    fake.use(PATH, 70 * MIB)
    const directory = new RecordingDirectory(findCgroupTree(fake.mountinfo, fake.root), PATH, () => null)
    const memory = openMemory(directory)
    expect([memory.peaksPerCall, memory.peakBytes()]).toEqual([false, 70 * MIB])
  })

  test('without swap on the host no swap counter is read', () => {
    fake.make(PATH)
    fake.write(PATH, 'memory.swap.peak', '4096')
    let swap = false
    const directory = new RecordingDirectory(findCgroupTree(fake.mountinfo, fake.root), PATH, () => null)
    const memory = openMemory(directory, () => swap)
    memory.resetPeaks()
    expect(memory.swapPeakBytes()).toBe(0)
    swap = true
    memory.resetPeaks()
    fake.write(PATH, 'memory.swap.peak', '8192')
    expect(memory.swapPeakBytes()).toBe(8192)
  })
})
