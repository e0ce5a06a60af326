// The watchdog of the event loop, on a platform whose loop is made to stand: by a descriptor whose close lingers, which a kernel that
// cannot refuse it would take, and for good.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { InvocationRecord } from '../../worker/api.ts'
import { INSIDE, NEIGHBOUR } from '../attack/attacker.ts'
import { toCall } from '../attack/kernel-attacks.ts'
import { passLingering } from '../attack/loop-attacks.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

const FN_STALL_AFTER = '1500ms'
/** Longer than that and the grace after it together. */
const LONG_MS = 5000

let platform: Platform
beforeAll(async () => {
  const env = { NODE_OPTIONS: `--import=${join(ROOT, 'test/support/stand-still.ts')}`, FN_STALL_AFTER }
  platform = await startPlatform({ env })
  await platform.deploy(INSIDE, '--name', 'attacker')
  await platform.deploy(NEIGHBOUR, '--name', 'neighbour', '--min-warm', '1')
})
afterAll(() => platform.stop())

function command(name: 'stand' | 'take-descriptors'): void {
  writeFileSync(join(platform.stateDir, 'test-command'), name)
  process.kill(platform.pid, 'SIGUSR2')
}

async function stalls(end: 'sandbox_killed' | 'restarted'): Promise<number> {
  const text = await (await platform.request('/metrics')).text()
  return Number(new RegExp(`^thaw_platform_stalls_total\\{end="${end}"\\} (\\d+)$`, 'm').exec(text)?.[1])
}

test('a sandbox over which the loop stands is killed, its call gets an answer, and all goes on', async () => {
  await (await platform.request('/fn/attacker/state')).arrayBuffer()
  command('take-descriptors')
  const body = JSON.stringify(passLingering(20, { waitS: 1, stayS: 3 }).map(toCall))
  const answered = platform.request('/fn/attacker/calls', { method: 'POST', body })
  // What is passed is not read before the program has let go of it: the last close is the platform's.
  await until('the program runs', () => processesNamed('caller').length > 0)
  process.kill(platform.pid, 'SIGSTOP')
  await delay(2000)
  process.kill(platform.pid, 'SIGCONT')
  const text = await (await answered).text()
  expect(JSON.parse(text)).toMatchObject({ code: 'PLATFORM_STALLED', component: 'worker', status: 503 })
  expect((await platform.request('/fn/neighbour')).status).toBe(200)
  expect((await platform.request('/fn/attacker/state')).status).toBe(200)
  expect(await stalls('sandbox_killed')).toBe(1)
  expect(platform.output()).toMatch(/the event loop stood; the sandbox it was busy with was killed/)
})

function processesNamed(name: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/comm`, 'latin1') === `${name}\n`
    } catch {
      return false
    }
  })
}

test('a platform that was stopped with all its threads is not started over', async () => {
  const before = await stalls('sandbox_killed')
  process.kill(platform.pid, 'SIGSTOP')
  await delay(LONG_MS)
  process.kill(platform.pid, 'SIGCONT')
  expect((await platform.request('/fn/neighbour')).status).toBe(200)
  expect([await stalls('sandbox_killed'), await stalls('restarted')]).toEqual([before, 0])
})

async function accept(): Promise<string> {
  const headers = { prefer: 'respond-async', 'fn-delay': '1s', authorization: `Bearer ${platform.token}` }
  const response = await platform.request('/fn/neighbour', { method: 'POST', headers })
  expect(response.status).toBe(202)
  return response.headers.get('location')!
}

/** Children of a process that nobody has taken the exit of. */
function zombiesOf(pid: number): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return new RegExp(`^\\d+ \\(.*\\) Z ${pid} `, 's').test(readFileSync(`/proc/${name}/stat`, 'latin1'))
      } catch {
        return false
      }
    })
}

test('a loop that stands for good is started over: same process, accepted calls end, nothing is left of the one before', async () => {
  const { pid } = platform
  const accepted = [await accept(), await accept(), await accept()]
  const before = await platform.json<{ id: string }[]>('/v1/sandboxes')
  command('stand')
  await until('the platform says so', () => /has stood for \d+ ms; starting the platform over/.test(platform.output()))
  await until(
    'it is ready again',
    async () => (await platform.request('/readyz').catch(() => null))?.status === 200,
    30_000,
  )
  expect(platform.pid).toBe(pid)
  for (const location of accepted)
    await until('the accepted call has ended', async () => {
      const record = await platform.json<InvocationRecord>(location)
      return record.state === 'succeeded' || record.state
    })
  expect((await platform.request('/fn/attacker/state')).status).toBe(200)
  const kept = (await platform.json<{ id: string }[]>('/v1/sandboxes')).map(({ id }) => id)
  expect(before.filter(({ id }) => kept.includes(id))).toEqual([])
  expect(zombiesOf(pid)).toEqual([])
  expect(await stalls('restarted')).toBe(1)
  const { warning } = await platform.json<{ warning: string }>('/readyz')
  expect(warning).toMatch(/^the event loop stood still and the platform was started over \d+ s ago \(1 within/)
})

test('SIGTERM ends a platform that was started over as any other', async () => {
  await platform.stop()
  expect(platform.output()).not.toContain('PLATFORM_FAILED')
})
