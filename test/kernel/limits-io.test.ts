// Block I/O rates on the scratch disk through real sandboxes, proven by the time the kernel took.
import { describe, expect, test } from 'vitest'
import type { Sandbox } from '../../runtime/api.ts'
import type { Limits } from '../../runtime/limits/limits.ts'
import { EVALUATOR, evaluate } from '../support/kernel-runtime.ts'
import { MIB, metered, useSandboxes } from '../support/kernel-sandboxes.ts'
import { timeScale } from '../support/time-scale.ts'

const sandboxes = useSandboxes()
const start = (limits: Partial<Limits>) => sandboxes.start(EVALUATOR, { scratch: 64 * MIB, ...limits })

/** Writes 32 MB block by block and answers with the ms it took; `direct` past the page cache, which needs aligned memory. */
const write = (flags: string, blockBytes: number, blocks: number, sync = false) => `(() => {
  const fd = fs.openSync('/scratch/file', ${flags})
  const block = Buffer.from(new WebAssembly.Memory({ initial: ${Math.ceil(blockBytes / 65_536)} }).buffer).subarray(0, ${blockBytes}).fill(7)
  const from = performance.now()
  for (let n = 0; n < ${blocks}; n++) fs.writeSync(fd, block, 0, ${blockBytes}, n * ${blockBytes})
  ${sync ? 'fs.fsyncSync(fd)' : ''}
  fs.closeSync(fd)
  return performance.now() - from
})()`
const CREATE = 'fs.constants.O_CREAT | fs.constants.O_WRONLY'
const DIRECT = `${CREATE} | fs.constants.O_DIRECT`
const read = (flags: string, blockBytes: number, blocks: number) => `(() => {
  const fd = fs.openSync('/scratch/file', ${flags})
  const block = Buffer.from(new WebAssembly.Memory({ initial: ${Math.ceil(blockBytes / 65_536)} }).buffer).subarray(0, ${blockBytes})
  const from = performance.now()
  for (let n = 0; n < ${blocks}; n++) fs.readSync(fd, block, 0, ${blockBytes}, n * ${blockBytes})
  fs.closeSync(fd)
  return performance.now() - from
})()`

interface Timed {
  readonly ms: number
  readonly written: number
  readonly readBytes: number
  readonly writeOps: number
}

async function msOf(sandbox: Sandbox, expression: string): Promise<Timed> {
  const { value, metering } = await metered(sandbox, () => evaluate(sandbox, expression))
  expect(typeof value, String(value)).toBe('number')
  const { ioWriteBytes, ioReadBytes, ioWriteOps } = metering
  return { ms: Number(value), written: ioWriteBytes, readBytes: ioReadBytes, writeOps: ioWriteOps }
}

/** A limit is a bound from below on the time; from above, an emulated machine adds a time of its own. */
function expectNear(ms: number, expectedMs: number): void {
  expect(ms).toBeGreaterThan(expectedMs * 0.85)
  expect(ms).toBeLessThan(expectedMs * (timeScale > 1 ? 3 : 1.15))
}

describe('8 MiB/s on the scratch disk: 32 MB take 4 s', () => {
  const RATE = { deviceWriteBps: [{ device: null, rate: 8 * MIB }] }
  // Each in a sandbox, and so on a disk and under a rate, of its own: together they take as long as one.
  test('written past the cache, synchronously, with fsync, and buffered, which cannot escape', async () => {
    const kinds = {
      direct: write(DIRECT, MIB, 32),
      synchronous: write(`${CREATE} | fs.constants.O_SYNC`, MIB, 32),
      fsync: write(CREATE, MIB, 32, true),
      buffered: write(CREATE, MIB, 32),
    }
    const results = await Promise.all(
      Object.entries(kinds).map(async ([kind, expression]) => {
        const sandbox = await start(RATE)
        return { kind, ...(await msOf(sandbox, expression)) }
      }),
    )
    for (const { kind, ms, written } of results) {
      expect(written, kind).toBeGreaterThanOrEqual(32 * MIB)
      expect(written, kind).toBeLessThan(36 * MIB)
      expectNear(ms, 4000)
    }
  })

  test('read past the cache, and through it when it is cold', async () => {
    const kinds = { direct: read('fs.constants.O_RDONLY | fs.constants.O_DIRECT', MIB, 32), cold: read(`'r'`, MIB, 32) }
    const results = await Promise.all(
      Object.entries(kinds).map(async ([kind, expression]) => {
        const sandbox = await start({ deviceReadBps: [{ device: null, rate: 8 * MIB }] })
        // Written past the cache, so that nothing of it is in there.
        await evaluate(sandbox, write(DIRECT, MIB, 32))
        return { kind, ...(await msOf(sandbox, expression)) }
      }),
    )
    for (const { kind, ms, readBytes } of results) {
      expect(readBytes, kind).toBeGreaterThanOrEqual(32 * MIB)
      expect(readBytes, kind).toBeLessThan(36 * MIB)
      expectNear(ms, 4000)
    }
  })
})

describe('100 operations a second', () => {
  test('400 reads of a page take 4 s, and writes go at that rate, each with what the file system adds', async () => {
    const reading = async () => {
      const sandbox = await start({ deviceReadIops: [{ device: null, rate: 100 }] })
      await evaluate(sandbox, write(DIRECT, 65_536, 32))
      return msOf(sandbox, read('fs.constants.O_RDONLY | fs.constants.O_DIRECT', 4096, 400))
    }
    const writing = async () => {
      const sandbox = await start({ deviceWriteIops: [{ device: null, rate: 100 }] })
      return msOf(sandbox, write(DIRECT, 4096, 150))
    }
    const [reads, writes] = await Promise.all([reading(), writing()])
    expectNear(reads.ms, 4000)
    // A write that makes a file longer is several operations: its block and, on a disk mounted `sync`, the inode and the bitmap.
    expect(writes.writeOps).toBeGreaterThanOrEqual(150)
    expectNear(writes.ms, writes.writeOps * 10)
  })
})

describe('the size of the scratch disk', () => {
  test('ends in ENOSPC inside, and what was written stays', async () => {
    const sandbox = await start({ scratch: 16 * MIB })
    expect(await evaluate(sandbox, `fs.writeFileSync('/scratch/a', Buffer.alloc(8 * 1048576, 1))`)).toBe(null)
    expect(await evaluate(sandbox, `fs.writeFileSync('/scratch/b', Buffer.alloc(16 * 1048576, 2))`)).toBe('ENOSPC')
    expect(await evaluate(sandbox, `fs.readFileSync('/scratch/a').every((byte) => byte === 1)`)).toBe(true)
  })
})
