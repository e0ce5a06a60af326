// What stops the one event loop stops every namespace: tried from inside a function, seen by a neighbour in another
// namespace and by the platform's own counter.
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { timeScale } from '../support/time-scale.ts'
import { type Attacked, attackPlatform, INSIDE } from './attacker.ts'
import type { CallsOutcome } from './inside/caller.ts'
import { toCall } from './kernel-attacks.ts'
import { LOOP_ATTACKS } from './loop-attacks.ts'
import { type Neighbour, type NeighbourReport, settleNeighbour } from './neighbour.ts'

const MOST_STAND_MS = 100 * timeScale
/** After an attack: what it started in the platform shows by then. */
const AFTERMATH_MS = 1500

let attacked: Attacked
let neighbour: Neighbour
beforeAll(async () => {
  attacked = await attackPlatform()
  await attacked.platform.deploy(INSIDE, '--name', 'disk', '--scratch', '200m', '--memory', '256m')
  neighbour = await settleNeighbour(attacked.platform)
})
afterAll(() => attacked.close())

function expectUnharmed(report: NeighbourReport): void {
  expect(report).toMatchObject({ errors: [], coldErrors: [] })
  expect([report.calls > 1, report.coldStarts > 1]).toEqual([true, true])
  expect(report.loopStandMs).toBeLessThan(MOST_STAND_MS)
}

test('without an attack the neighbour is served, and the loop does not stand', async () => {
  expectUnharmed(await neighbour.during(() => delay(1500)))
})

async function clear(name: string): Promise<void> {
  for (const { id } of await attacked.sandboxes(name))
    await attacked.platform.request(`/v1/sandboxes/${id}/kill`, { method: 'POST' })
}

for (const { id, tries, calls, gives, onDisk } of LOOP_ATTACKS) {
  test(`${id}: an attempt to ${tries}`, async () => {
    const report = await neighbour.during(async () => {
      const body = JSON.stringify(calls.map(toCall))
      const path = onDisk === true ? '/fn/disk/calls' : '/fn/attacker/calls'
      const response = await attacked.platform.request(path, { method: 'POST', body })
      const answer = { status: response.status, text: await response.text() }
      if (onDisk === true) await clear('disk')
      await delay(AFTERMATH_MS)
      return answer
    })
    expectUnharmed(report)
    const { status, text } = report.attack
    if (gives !== null) {
      expect(status, text).toBe(200)
      expect((JSON.parse(text) as CallsOutcome).results.slice(-gives.length)).toEqual(gives)
    }
    attacked.watch.check()
  })
}
