// What a function does when its answer has ended is told: in its log under the call that left it, in that call's record, in the
// metrics; and no other call pays for it.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { InvocationRecord, LogLine } from '../../worker/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

let platform: Platform
beforeAll(async () => {
  platform = await startPlatform()
  await platform.deploy(join(ROOT, 'test', 'fixtures', 'functions', 'late.ts'), '--freeze-grace', '200ms')
})
afterAll(() => platform?.stop())

async function call(way: string, init?: RequestInit): Promise<{ id: string; status: number; body: string }> {
  const response = await platform.request(`/fn/late/${way}`, init)
  return { id: response.headers.get('fn-invocation-id')!, status: response.status, body: await response.text() }
}
const record = (id: string): Promise<InvocationRecord> => platform.json(`/v1/invocations/${id}`)
const linesOf = async (id: string): Promise<string[]> => {
  const lines = await platform.json<LogLine[]>(`/v1/invocations/${id}/logs`)
  return lines.filter(({ stream }) => stream !== 'report').map(({ line }) => line)
}
async function faults(): Promise<number> {
  const metrics = await (await platform.request('/metrics')).text()
  const counts = metrics.matchAll(/^thaw_function_faults_after_answer_total\{[^}]*function="late"[^}]*\} (\d+)/gm)
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0)
}

test('a line after the answer is in the log, under its call', async () => {
  const { id, body } = await call('log')
  expect(body).toMatch(/^answered/)
  await until('it is in the log', async () => (await linesOf(id)).includes('printed by a timer after the answer'))
  expect((await record(id)).afterAnswer).toBeUndefined()
  expect((await platform.fn('logs', 'late')).stdout).toContain('printed by a timer after the answer')
})

test('a warning of Node is in the log, too', async () => {
  const { id } = await call('warn')
  await until('it is in the log', async () => (await linesOf(id)).some((line) => line.includes('MaxListeners')))
})

describe('a fault after the answer', () => {
  test.each([
    ['reject', 'FUNCTION_CRASHED', 'rejected without a catch'],
    ['throw', 'FUNCTION_CRASHED', 'thrown by a timer'],
    ['emitter', 'FUNCTION_CRASHED', 'an event without a listener'],
    ['exit', 'FUNCTION_CRASHED', 'exited with code 3'],
    ['background', 'FUNCTION_THREW', 'background work failed'],
  ])(
    'of the way %s is in log, record and metrics, and the call stays what its caller saw',
    async (way, code, words) => {
      const before = await faults()
      const { id, status } = await call(way)
      expect(status).toBe(200)
      await until('the record tells', async () => (await record(id)).afterAnswer !== undefined)
      const told = await record(id)
      expect(told).toMatchObject({ state: 'succeeded', status: 200, error: null, afterAnswer: { code } })
      expect(told.afterAnswer!.message).toContain(words)
      await until('the log tells', async () =>
        (await linesOf(id)).some((line) => line.startsWith('after the answer: ')),
      )
      expect((await linesOf(id)).join('\n')).toContain(words)
      await until('the metric counts', async () => (await faults()) === before + 1)
      expect((await call('log')).status).toBe(200)
    },
  )

  test('has the stack in the author’s own lines, its cause and its code, and no frame of the platform', async () => {
    const { id } = await call('throw')
    await until('the record tells', async () => (await record(id)).afterAnswer !== undefined)
    const { stack } = (await record(id)).afterAnswer!
    expect(stack).toMatch(/late\.ts:\d+:\d+/)
    expect(stack).toContain("code: 'E_LATE'")
    expect(stack).toContain('[cause]: Error: the reason')
    expect(stack).not.toContain('bootstrap')
    const shown = await platform.fn('get', 'invocation', id)
    expect(shown.stdout).toContain('thrown by a timer')
  })

  test('that is due while the sandbox is frozen belongs to the call that left it; the next call runs elsewhere', async () => {
    const dueAt = Date.now() + 1600
    const { id } = await call('overdue')
    const frozen = async () =>
      (await platform.json<{ function: string; state: string }[]>('/v1/sandboxes')).some(
        (row) => row.function === 'late' && row.state === 'frozen',
      )
    await until('it is frozen', frozen)
    await until('its timer is due', () => Date.now() > dueAt)
    const next = await call('nothing')
    expect(next.status).toBe(200)
    await until('the record tells', async () => (await record(id)).afterAnswer !== undefined)
    expect((await record(id)).afterAnswer!.message).toContain('thrown after the thaw')
    expect((await record(next.id)).afterAnswer).toBeUndefined()
  })

  test('of an asynchronous call is in its record', async () => {
    const response = await platform.request('/fn/late/throw', { headers: { prefer: 'respond-async' } })
    const { id } = (await response.json()) as { id: string }
    await until('the record tells', async () => (await record(id)).afterAnswer !== undefined)
    expect(await record(id)).toMatchObject({ state: 'succeeded', afterAnswer: { code: 'FUNCTION_CRASHED' } })
  })
})
