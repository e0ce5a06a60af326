// Memory classes: exact for the sizes people use, never above the limit, never more than an eighth below it.
import { describe, expect, test } from 'vitest'
import { memoryClassBytes } from '../../../../runtime/limits/memory-class.ts'

const MIB = 1024 ** 2

describe('the class of a memory limit', () => {
  test.each([16, 64, 96, 128, 192, 256, 320, 512, 768, 1024, 1536, 4096])('is the limit itself for %dm', (mib) => {
    expect(memoryClassBytes(mib * MIB)).toBe(mib * MIB)
  })

  test.each([
    [100, 96],
    [130, 128],
    [150, 144],
    [500, 480],
    [1000, 960],
  ])('of %dm is %dm', (mib, classMib) => {
    expect(memoryClassBytes(mib * MIB)).toBe(classMib * MIB)
  })

  test('is never above the limit, nor more than an eighth below it', () => {
    for (let bytes = 16 * MIB; bytes < 4096 * MIB; bytes = Math.ceil(bytes * 1.037)) {
      expect(memoryClassBytes(bytes)).toBeLessThanOrEqual(bytes)
      expect(memoryClassBytes(bytes)).toBeGreaterThan(bytes * 0.875)
    }
  })
})
