// What one call leaves for the next, and one sandbox for another: `isolation` and `leftovers`, by effect.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { InvocationRecord, SandboxInfo } from '../../worker/api.ts'
import { processesOf } from '../support/platform-leftovers.ts'
import { recordOf } from '../support/records.ts'
import { until } from '../support/until.ts'
import { type Attacked, attackPlatform, INSIDE } from './attacker.ts'
import { STATE_ATTACKS } from './state-attacks.ts'

interface Found {
  readonly mark: string
  readonly file: boolean
  readonly orphans: number
}
const NOTHING: Found = { mark: '', file: false, orphans: 0 }

let attacked: Attacked
beforeAll(async () => {
  attacked = await attackPlatform('--concurrency', '1', '--freeze-grace', '60s')
  await attacked.platform.deploy(INSIDE, '--name', 'fresh', '--isolation', 'call', '--freeze-grace', '60s')
  await attacked.platform.deploy(
    INSIDE,
    '--name',
    'tidy',
    '--leftovers',
    'kill',
    '--concurrency',
    '1',
    '--freeze-grace',
    '60s',
  )
  await attacked.platform.deploy(INSIDE, '--name', 'other')
})
afterAll(() => attacked.close())

async function leave(name: string, what: string): Promise<{ found: Found; record: InvocationRecord }> {
  const response = await attacked.platform.request(`/fn/${name}/leave/${what}`)
  const text = await response.text()
  expect(response.status, text).toBe(200)
  return { found: JSON.parse(text) as Found, record: await recordOf(attacked.platform, response) }
}

/** Processes of the host that are orphans of sandboxes. */
function orphans(): number[] {
  const { id, stateDir } = attacked.platform
  return processesOf(id, stateDir).filter((pid) =>
    textOf(`/proc/${pid}/cmdline`).includes('setInterval(() => {}, 1e6)'),
  )
}

/** Empty for what is not there: a process may end while it is looked at. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

const proofs: Record<(typeof STATE_ATTACKS)[number]['id'], () => Promise<void>> = {
  'next-call': async () => {
    expect((await leave('attacker', 'mark')).found).toEqual(NOTHING)
    expect((await leave('attacker', 'orphan')).found).toMatchObject({ mark: 'left in a variable', file: true })
    expect((await leave('attacker', 'nothing')).found.orphans).toBe(1)
    for (const what of ['mark', 'orphan', 'nothing', 'nothing']) {
      const { found, record } = await leave('fresh', what)
      expect(found, what).toEqual(NOTHING)
      expect(record, what).toMatchObject({ state: 'succeeded', error: null })
    }
    const together = await Promise.all(['mark', 'mark', 'mark'].map((what) => leave('fresh', what)))
    expect(together.map(({ found }) => found)).toEqual([NOTHING, NOTHING, NOTHING])
    await until('no sandbox of it is left', async () => (await attacked.sandboxes('fresh')).length === 0)
    expect((await attacked.sandboxes('attacker')).length).toBe(1)
  },
  'other-functions': async () => {
    await leave('attacker', 'mark')
    expect((await leave('other', 'mark')).found).toEqual(NOTHING)
    const rows = await attacked.platform.json<SandboxInfo[]>('/v1/sandboxes')
    const bases = rows.map(({ pid }) => /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1])
    expect(rows.length).toBeGreaterThan(1)
    expect(new Set(bases).size).toBe(rows.length)
  },
  'after-response': async () => {
    const [before] = await attacked.sandboxes('attacker')
    await leave('attacker', 'timer')
    const cpuUs = async () => (await attacked.sandboxes('attacker'))[0]!.cpuUs
    const atEnd = await cpuUs()
    await until('it burns on', async () => (await cpuUs()) > atEnd + 50_000)
    const { record } = await leave('attacker', 'nothing')
    expect(record.metering!.idleCpuUs).toBeGreaterThan(50_000)
    expect((await attacked.sandboxes('attacker'))[0]!.id).toBe(before!.id)
    // What uses the processor while it should rest is stopped by the freezer, whatever it does.
    const { id } = before!
    await attacked.platform.request(`/v1/sandboxes/${id}/freeze`, { method: 'POST' })
    const frozen = await cpuUs()
    await leave('tidy', 'nothing')
    expect(await cpuUs()).toBe(frozen)

    const [tidy] = await attacked.sandboxes('tidy')
    await leave('tidy', 'mark')
    expect((await leave('tidy', 'nothing')).found, 'a sandbox with nothing left in it is kept').toMatchObject({
      file: true,
    })
    for (const what of ['timer', 'orphan']) {
      const { record } = await leave('tidy', what)
      expect(record, what).toMatchObject({ state: 'succeeded', error: null })
      expect((await leave('tidy', 'nothing')).found, what).toEqual(NOTHING)
    }
    expect((await attacked.sandboxes('tidy')).some((row) => row.id === tidy!.id)).toBe(false)
  },
  orphans: async () => {
    await leave('other', 'orphan')
    const [sandbox] = await attacked.sandboxes('other')
    // Those that other tests left belong to other sandboxes.
    const born = orphans().filter((pid) => textOf(`/proc/${pid}/cgroup`).includes(sandbox!.id))
    expect(born.length).toBeGreaterThan(0)
    await attacked.platform.request(`/v1/sandboxes/${sandbox!.id}/kill`, { method: 'POST' })
    const { id, stateDir } = attacked.platform
    const left = () => processesOf(id, stateDir).filter((pid) => pid === sandbox!.pid || born.includes(pid))
    await until('they are dead', () => left().length === 0 || `${left()}`)
  },
}

for (const attack of STATE_ATTACKS) {
  test(`${attack.id}: an attempt to ${attack.tries}`, async () => {
    await proofs[attack.id]()
    attacked.watch.check()
  })
}
