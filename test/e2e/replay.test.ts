// `npm run replay -- TRACE --live`: drives a running platform, tells what was cold beside what the simulation says, and leaves
// nothing deployed, also when it is interrupted.
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { spawn } from '../../runtime/host/spawn.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { text } from '../support/streams.ts'
import { until } from '../support/until.ts'

const TRACE = join(ROOT, 'test', 'fixtures', 'traces', 'small_inv.csv')
let platform: Platform
beforeAll(async () => {
  platform = await startPlatform()
})
afterAll(() => platform.stop())

function live(...args: string[]) {
  const env = { PATH: process.env.PATH ?? '', FN_STATE_DIR: platform.stateDir, FN_URL: platform.url }
  const child = spawn(process.execPath, [join(ROOT, 'bench', 'replay', 'main.ts'), TRACE, '--live', ...args], { env })
  return { child, done: Promise.all([text(child.stdout), text(child.stderr), child.exited]) }
}
const deployed = () => platform.json<{ name: string }[]>('/v1/functions')

test('plays the trace against a platform and removes what it deployed', async () => {
  const [output, progress, exit] = await live('--speed', '1200', '--functions', '2', '--minutes', '40', '--json').done
  expect([exit.code, progress]).toEqual([0, expect.stringContaining('removed 2 functions')])
  const seen = JSON.parse(output) as Record<string, number> & { starts: Record<string, number> }
  expect(seen).toMatchObject({ failed: 0, minutes: 40 })
  const started = (seen.starts.cold ?? 0) + (seen.starts.stem ?? 0)
  expect(Object.values(seen.starts).reduce((sum, count) => sum + count, 0)).toBe(seen.calls)
  // Two seconds on the wall: what was started for a function's first call is there for most of the others.
  expect(started).toBeGreaterThanOrEqual(1)
  expect(started).toBeLessThan(seen.calls! / 2)
  expect(seen.coldPercent).toBeCloseTo((100 * started) / seen.calls!, 2)
  expect(seen.simulatedColdPercent).toBeGreaterThan(0)
  expect(await deployed()).toEqual([])
})

test('removes what it deployed when it is interrupted', async () => {
  const { child, done } = live('--speed', '1', '--functions', '1')
  await until('it has deployed', async () => (await deployed()).length === 1)
  child.kill('SIGINT')
  const [output, progress, exit] = await done
  expect([exit.code, output]).toEqual([130, expect.stringContaining('cold: measured')])
  expect(progress).toContain('removed 1 functions')
  expect(await deployed()).toEqual([])
})

test('says what is missing when there is no platform', async () => {
  const child = spawn(process.execPath, [join(ROOT, 'bench', 'replay', 'main.ts'), TRACE, '--live'], {
    env: { PATH: process.env.PATH ?? '', FN_URL: 'http://127.0.0.1:9' },
  })
  const [, complaint, exit] = await Promise.all([text(child.stdout), text(child.stderr), child.exited])
  expect([exit.code, complaint]).toEqual([1, expect.stringContaining('expected a running platform')])
})
