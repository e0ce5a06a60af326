import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Extent, Extents } from '../../../../runtime/host/extents.ts'

describe('parts of a disk', () => {
  test('are taken first fit, and what was released is taken again', () => {
    const extents = new Extents(100, 10)
    const [one, two, three] = [extents.take(20)!, extents.take(30)!, extents.take(50)!]
    expect([one, two, three].map((extent) => [extent.number, extent.startSectors])).toEqual([
      [1, 0],
      [2, 20],
      [3, 50],
    ])
    expect(extents.take(1)).toBeNull()
    extents.release(two)
    expect(extents.take(31)).toBeNull()
    expect(extents.take(30)).toEqual({ number: 2, startSectors: 20, sectors: 30 })
  })

  test('end at the number the kernel knows', () => {
    const extents = new Extents(100, 2)
    extents.take(1)
    const second = extents.take(1)!
    expect(extents.take(1)).toBeNull()
    extents.release(second)
    extents.release(second)
    expect(extents.take(1)).toMatchObject({ number: 2 })
  })

  test('never overlap, never share a number, never leave the disk, whatever comes and goes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 40 }))), (steps) => {
        const extents = new Extents(200, 12)
        let held: Extent[] = []
        for (const [takes, size] of steps) {
          if (takes) {
            const extent = extents.take(size)
            if (extent !== null) held.push(extent)
          } else {
            const gone = held[size % Math.max(1, held.length)]
            if (gone !== undefined) extents.release(gone)
            held = held.filter((extent) => extent !== gone)
          }
          const sorted = held.toSorted((a, b) => a.startSectors - b.startSectors)
          let end = 0
          for (const extent of sorted) {
            expect(extent.startSectors).toBeGreaterThanOrEqual(end)
            end = extent.startSectors + extent.sectors
          }
          expect(end).toBeLessThanOrEqual(200)
          expect(new Set(held.map((extent) => extent.number)).size).toBe(held.length)
          expect(extents.count).toBe(held.length)
        }
      }),
    )
  })
})
