// What the kernel counts for the whole machine or not at all, and what a sandbox makes the platform do by writing: tried from
// inside a function, with a neighbour in another namespace that gets its answers and its cold starts all the while.
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sandboxMemoryBytes } from '../../cli/up/capacity.ts'
import { OUTPUT_READ_COST_BYTES, SANDBOX_RATE, WIRE_READ_COST_BYTES } from '../../runtime/sandbox/read-budget.ts'
import { timeScale } from '../support/time-scale.ts'
import { type Attacked, attackPlatform, INSIDE } from './attacker.ts'
import { CHARGED_BUDGETS, DRIPS, FILLED_BUDGETS, REFUSED_BUDGETS } from './budget-attacks.ts'
import type { CallsOutcome } from './inside/caller.ts'
import { toCall } from './kernel-attacks.ts'
import { watchKernelMemory } from './kernel-memory.ts'
import { type Neighbour, type NeighbourReport, settleNeighbour } from './neighbour.ts'

const MOST_STAND_MS = 100 * timeScale
/** Reads of the platform that come from no output: its own upkeep, and the starts that follow a sandbox's end. */
const OTHER_READS_PER_MS = 1.5

const SMALL_BYTES = 64 * 1024 ** 2
const SMALL = ['--memory', '64m', '--memory-swap', '64m', '--timeout', '10s']

let attacked: Attacked
let neighbour: Neighbour
beforeAll(async () => {
  attacked = await attackPlatform('--timeout', '8s')
  await attacked.platform.deploy(INSIDE, '--name', 'small', ...SMALL)
  neighbour = await settleNeighbour(attacked.platform)
})
afterAll(() => attacked.close())

function expectUnharmed(report: NeighbourReport): void {
  expect(report).toMatchObject({ errors: [], coldErrors: [] })
  expect([report.calls > 1, report.coldStarts > 1]).toEqual([true, true])
  expect(report.loopStandMs).toBeLessThan(MOST_STAND_MS)
}

describe('what is refused by its arguments', () => {
  for (const { id, tries, calls, gives } of REFUSED_BUDGETS) {
    test(`${id}: an attempt to ${tries}`, async () => {
      const response = await attacked.call('/calls', calls.map(toCall))
      const { results } = (await response.json()) as CallsOutcome
      expect(results.map((result, nth) => `${nth} ${calls[nth]![0]}: ${result}`)).toEqual(
        gives!.map((result, nth) => `${nth} ${calls[nth]![0]}: ${result}`),
      )
      attacked.watch.check()
    })
  }
})

describe('what ends at a bound', () => {
  for (const { id, tries, fill, ends } of FILLED_BUDGETS) {
    test(`${id}: an attempt to ${tries}`, async () => {
      const report = await neighbour.during(async () => {
        const response = await attacked.call(`/fill/${fill}`)
        const answer = { status: response.status, text: await response.text() }
        await delay(500)
        return answer
      })
      const { status, text } = report.attack
      if ('atMost' in ends) {
        expect(status, text).toBe(200)
        expect(Number(text)).toBeGreaterThan(0)
        expect(Number(text)).toBeLessThanOrEqual(ends.atMost)
      } else {
        expect(JSON.parse(text)).toMatchObject({ status: 502, code: 'FUNCTION_OUT_OF_MEMORY' })
        expect(text).toContain(ends.killedFor)
      }
      expectUnharmed(report)
      attacked.watch.check()
    })
  }

  test('open files: each costs its sandbox memory, and the machine allows more of them than all sandboxes have memory for', async () => {
    const memoryOf = async () => (await attacked.sandboxes('attacker')).reduce((sum, row) => sum + row.memoryBytes, 0)
    await killAttackers()
    await (await attacked.call('/')).text()
    const before = await memoryOf()
    const response = await attacked.call('/fill/files')
    const files = (await response.json()) as number
    const bytesEach = ((await memoryOf()) - before) / files
    expect(bytesEach).toBeGreaterThan(160)
    const fileMax = Number(readFileSync('/proc/sys/fs/file-max', 'utf8'))
    expect(fileMax).toBeGreaterThan(sandboxMemoryBytes() / 160)
  })
})

describe('what is part of memory', () => {
  for (const { id, tries, heldAs, gives } of CHARGED_BUDGETS) {
    test(`${id}: an attempt to ${tries}`, async () => {
      const memory = watchKernelMemory(heldAs)
      const report = await neighbour.during(async () => {
        const response = await attacked.platform.request(`/fn/small/take/${id}`)
        return { status: response.status, body: (await response.json()) as unknown }
      })
      const { status, body } = report.attack
      if (status === 200) expect([...gives, 'SIGKILL']).toContain(body)
      else expect(body).toMatchObject({ status: 502, code: 'FUNCTION_OUT_OF_MEMORY' })
      expect(memory.stop()).toBeLessThan(2 * SMALL_BYTES)
      expectUnharmed(report)
      attacked.watch.check()
    })
  }
})

/** System calls that read, by the platform's process (proc(5), io). */
function readsSoFar(): number {
  return Number(/^syscr: (\d+)$/m.exec(readFileSync(`/proc/${attacked.platform.pid}/io`, 'utf8'))![1])
}

const DRIP_MS = 1500

/** A sandbox each, at once. On the wire no answer comes behind a frame that is never whole. */
async function dripFrom(descriptors: readonly number[]): Promise<void> {
  const answers = await Promise.allSettled(
    descriptors.map(async (descriptor) => {
      const signal = AbortSignal.timeout(descriptor === 3 ? DRIP_MS : 20_000)
      const response = await attacked.platform.request(`/fn/attacker/drip/${descriptor}`, { signal })
      return `${response.status} ${await response.text()}`
    }),
  )
  for (const [nth, answer] of answers.entries())
    if (descriptors[nth] !== 3) expect(answer).toEqual({ status: 'fulfilled', value: '200 over' })
}

async function killAttackers(): Promise<void> {
  for (const { id } of await attacked.sandboxes('attacker'))
    await attacked.platform.request(`/v1/sandboxes/${id}/kill`, { method: 'POST' })
}

describe('output in the smallest pieces', () => {
  for (const { id, tries, descriptor } of DRIPS) {
    test(`${id}: an attempt to ${tries}`, async () => {
      await killAttackers()
      await Promise.all([1, 2, 3].map(async () => (await attacked.call('/')).text()))
      const before = readsSoFar()
      const begin = performance.now()
      await dripFrom([descriptor, descriptor, descriptor])
      const reads = readsSoFar() - before
      const ms = performance.now() - begin
      const { capacityBytes, refillBytesPerMs } = SANDBOX_RATE
      const cost = descriptor === 3 ? WIRE_READ_COST_BYTES : OUTPUT_READ_COST_BYTES
      const each = (capacityBytes + refillBytesPerMs * ms) / cost
      expect(reads).toBeLessThan(3 * (each + 64) + OTHER_READS_PER_MS * ms)
    })
  }

  test('while all three run, the neighbour is served', async () => {
    await killAttackers()
    expectUnharmed(await neighbour.during(() => dripFrom([1, 2, 3])))
  })
})
