// What stops the one loop that serves everybody stops every tenant: tried from inside a function, seen by a neighbour in another
// namespace and by the platform's own counter.
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Attacked, attackPlatform } from './attacker.ts'
import { type Neighbour, settleNeighbour } from './neighbour.ts'

let attacked: Attacked
let neighbour: Neighbour
beforeAll(async () => {
  attacked = await attackPlatform()
  neighbour = await settleNeighbour(attacked.platform)
})
afterAll(() => attacked.close())

test('beside nothing the neighbour is served, and the loop does not stand', async () => {
  const report = await neighbour.during(() => delay(2000))
  expect(report).toMatchObject({ errors: [], coldErrors: [] })
  expect([report.calls > 5, report.coldStarts > 1]).toEqual([true, true])
  expect(report.loopStandMs).toBeLessThan(100)
})
