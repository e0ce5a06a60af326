// System calls, files, sockets and processes: what code inside a sandbox cannot do, tried from inside a deployed function, with
// a look from the host after every attack that nothing happened.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Attacked, attackPlatform } from './attacker.ts'
import { FILE_ATTACKS } from './file-attacks.ts'
import type { CallsOutcome } from './inside/caller.ts'
import type { Step } from './inside/steps.ts'
import { KERNEL_ATTACKS, toCall } from './kernel-attacks.ts'

let attacked: Attacked
beforeAll(async () => {
  attacked = await attackPlatform()
})
afterAll(() => attacked.close())

async function answer<T>(path: string, body: unknown): Promise<T> {
  const response = await attacked.call(path, body)
  const text = await response.text()
  expect(response.status, text).toBe(200)
  return JSON.parse(text) as T
}

describe('system calls', () => {
  for (const attack of KERNEL_ATTACKS) {
    test(`${attack.id}: an attempt to ${attack.tries}`, async () => {
      const { results, signal } = await answer<CallsOutcome>('/calls', attack.calls.map(toCall))
      expect(signal).toBe(attack.killedBy ?? null)
      if (attack.killedBy === undefined) {
        const said = attack.calls.map(([name], index) => `${index} ${name}: ${results[index]}`)
        const wanted = attack.calls.map(([name], index) => {
          const allowed = (attack.gives?.[index] ?? 'EPERM|ENOSYS').split('|')
          const got = results[index]!
          return `${index} ${name}: ${allowed.includes(got) ? got : allowed.join(' or ')}`
        })
        expect(said).toEqual(wanted)
      }
      attacked.watch.check()
    })
  }
})

/** The step with what it names of the host. */
function aimed(text: string): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => attacked.watch.targets[name as 'secret'])
}

function fits(outcome: string, wanted: string | RegExp): boolean {
  if (typeof wanted === 'string') return wanted.split('|').includes(outcome)
  return new RegExp(aimed(wanted.source), wanted.flags).test(outcome)
}

describe('files, sockets and processes', () => {
  for (const attack of FILE_ATTACKS) {
    test(`${attack.id}: an attempt to ${attack.tries}`, async () => {
      const steps = attack.steps.map((step) => step.map((text) => aimed(text ?? '')) as unknown as Step)
      const outcomes = await answer<string[]>('/steps', steps)
      const surprises = steps
        .map((step, index) => ({ step, outcome: outcomes[index]!, wanted: attack.gives[index]! }))
        .filter(({ outcome, wanted }) => !fits(outcome, wanted))
      expect(surprises).toEqual([])
      attacked.watch.check()
    })
  }
})
