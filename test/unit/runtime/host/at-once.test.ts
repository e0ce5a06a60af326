import { describe, expect, test } from 'vitest'
import { AtOnce } from '../../../../runtime/host/at-once.ts'

describe('work of one kind', () => {
  test('is never more at once than allowed, and takes its turns in order', async () => {
    const work = new AtOnce(2)
    const begun: number[] = []
    let running = 0
    let most = 0
    const one = (index: number) =>
      work.run(async () => {
        begun.push(index)
        most = Math.max(most, ++running)
        await new Promise((resolve) => setImmediate(resolve))
        running--
        return index
      })
    expect(await Promise.all([0, 1, 2, 3, 4].map(one))).toEqual([0, 1, 2, 3, 4])
    expect(begun).toEqual([0, 1, 2, 3, 4])
    expect(most).toBe(2)
  })

  test('gives its place back when it fails', async () => {
    const work = new AtOnce(1)
    await expect(work.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await work.run(async () => 'yes')).toBe('yes')
  })
})
