// System calls, files, sockets and processes: what code inside a sandbox cannot do, tried from inside a deployed function, with
// a look from the host after every attack that nothing happened.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Attacked, attackPlatform } from './attacker.ts'
import { FILE_ATTACKS } from './file-attacks.ts'
import type { CallsOutcome, KernelCall } from './inside/caller.ts'
import type { Step } from './inside/steps.ts'
import { type CallText, KERNEL_ATTACKS } from './kernel-attacks.ts'
import { callNumber } from './x86-64-calls.ts'

const X32_BIT = 0x4000_0000

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

function toCall([name, ...args]: CallText): KernelCall {
  const [, table, number] = /^(i386|x32):(\d+)$/.exec(name) ?? []
  if (table === 'i386') return { number: Number(number), arguments: args, i386: true }
  if (table === 'x32') return { number: X32_BIT + Number(number), arguments: args }
  return { number: name.startsWith('#') ? Number(name.slice(1)) : callNumber(name), arguments: args }
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
