import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startWatchdog, type Watchdog } from '../../../../runtime/watchdog/watchdog.ts'
import { silentLogger } from '../../../support/real-clock.ts'
import { until } from '../../../support/until.ts'

const AFTER_MS = 1000
/** Would be started in place of the test's own process: nothing here may come to that. */
const restart = { path: '/nowhere', args: [], env: {}, restarts: { total: 3, atMs: [] } }

let watchdog: Watchdog
let folder: string
beforeEach(() => {
  // What the thread takes for a cgroup: a kill is a text in a file of it.
  folder = mkdtempSync(join(tmpdir(), 'thaw-watchdog-'))
  for (const name of ['cgroup.kill', 'cgroup.procs']) writeFileSync(join(folder, name), '')
  watchdog = startWatchdog({ logger: silentLogger, afterMs: AFTER_MS, restart })
})
afterEach(async () => {
  await watchdog.close()
  rmSync(folder, { recursive: true, force: true })
})

const isKilled = () => readFileSync(join(folder, 'cgroup.kill'), 'utf8') === '1'

/** The loop of this very test stands until the thread has killed something, or for so long. */
function stand(mostMs: number): void {
  const word = new Int32Array(new SharedArrayBuffer(4))
  for (let ms = 0; ms < mostMs && !isKilled(); ms += 100) Atomics.wait(word, 0, 0, 100)
}

function watch(told: number[]) {
  return watchdog.watch({ id: 'sandbox', descriptors: [], directories: [folder], onKilled: (ms) => told.push(ms) })
}

/** The thread has begun to look. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 600))
}

test('the sandbox whose bytes are handled while the loop stands is killed, and its owner told once', async () => {
  const told: number[] = []
  const watched = watch(told)
  watchdog.arm()
  await settled()
  watched.handling()
  stand(AFTER_MS + 1500)
  expect(isKilled()).toBe(true)
  expect(watched.killedAfterMs()).toBeGreaterThanOrEqual(AFTER_MS)
  await until('told', () => told.length === 1)
  expect(watchdog.stalls()).toEqual({ sandboxesKilled: 1, restarts: 3 })
})

test('nothing is killed before it is armed', async () => {
  const watched = watch([])
  await settled()
  watched.handling()
  stand(AFTER_MS + 700)
  expect([isKilled(), watched.killedAfterMs()]).toEqual([false, null])
})

test('what was handled before this turn of the loop is not blamed', async () => {
  const watched = watch([])
  watchdog.arm()
  await settled()
  watched.handling()
  await new Promise((resolve) => setTimeout(resolve, 100))
  stand(AFTER_MS + 700)
  expect([isKilled(), watched.killedAfterMs()]).toEqual([false, null])
})
