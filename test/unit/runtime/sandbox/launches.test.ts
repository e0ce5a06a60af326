import { describe, expect, test } from 'vitest'
import { limitLaunches } from '../../../../runtime/sandbox/launches.ts'

describe('launches', () => {
  test('are never more at once than allowed, and take their turns in order', async () => {
    const launches = limitLaunches(2)
    const begun: number[] = []
    let running = 0
    let most = 0
    const launch = (index: number) =>
      launches.run(async () => {
        begun.push(index)
        most = Math.max(most, ++running)
        await new Promise((resolve) => setImmediate(resolve))
        running--
        return index
      })
    expect(await Promise.all([0, 1, 2, 3, 4].map(launch))).toEqual([0, 1, 2, 3, 4])
    expect(begun).toEqual([0, 1, 2, 3, 4])
    expect(most).toBe(2)
  })

  test('give their place back when they fail', async () => {
    const launches = limitLaunches(1)
    await expect(launches.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await launches.run(async () => 'yes')).toBe('yes')
  })
})
