// What the host keeps from all sandboxes together, and what the platform keeps for itself, by effect.
import { existsSync, readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type CgroupHost, openCgroupHost, type SandboxCgroup } from '../../runtime/cgroup/cgroup.ts'
import { DEFAULT_LIMITS } from '../../runtime/limits/limits.ts'
import { type CgroupChild, makeSandboxCgroup, startInCgroup } from '../support/cgroup-child.ts'
import { MIB } from '../support/kernel-sandboxes.ts'
import { expectNoLeftovers, type KernelSnapshot, snapshotKernel } from '../support/leftovers.ts'
import { realClock, silentLogger } from '../support/real-clock.ts'

const platformId = `test-cap-${process.pid}`
const USE = `process.stdin.on('data', (text) => { const mb = Number(text); if (mb) { globalThis.held = Buffer.alloc(mb * 1048576, 1); console.log('held') } })`

describe('all sandboxes together', () => {
  let before: KernelSnapshot
  let host: CgroupHost
  const opened: SandboxCgroup[] = []

  beforeEach(() => {
    before = snapshotKernel(platformId)
    const totals = { memoryBytes: 160 * MIB, pids: 40 }
    host = openCgroupHost({ platformId, logger: silentLogger, clock: realClock, totals })
  })
  afterEach(async () => {
    for (const cgroup of opened.splice(0)) {
      cgroup.kill()
      await cgroup.waitEmpty(10_000)
      await cgroup.remove()
    }
    await host.close()
    expectNoLeftovers(before, platformId)
  })
  async function start(id: string, source: string): Promise<CgroupChild> {
    makeSandboxCgroup(host.path(id))
    // A host with swap would swap instead of killing: it is the total that is looked at here.
    opened.push(
      host.attach(id, { ...DEFAULT_LIMITS, memory: 128 * MIB, memorySwap: 128 * MIB, memorySwappiness: 0 }, null),
    )
    return startInCgroup(host.path(id), source)
  }

  test('end at their total memory although each is below its own limit', async () => {
    const [one, two] = [await start('a', USE), await start('b', USE)]
    one.say('80')
    await one.line()
    two.say('90')
    expect(await Promise.race([one.ended, two.ended])).toBe('SIGKILL')
  })

  test('end at their total of tasks although each is below its own limit', async () => {
    await start('a', 'setInterval(() => {}, 1000)')
    const forks = `const { spawn } = require('child_process'); let failed = 0, done = 0
      for (let n = 0; n < 40; n++) { const c = spawn('sleep', ['1000']); c.on('error', () => { failed++; tell() }); c.on('spawn', tell) }
      function tell() { if (++done === 40) console.log(failed > 0 ? 'refused' : 'all made') }`
    expect(await (await start('b', forks)).line()).toBe('refused')
  })
})

describe('the platform', () => {
  test('has a cgroup of its own while it is open, and is back where it was afterwards', async () => {
    const own = () => readFileSync('/proc/self/cgroup', 'utf8')
    const before = own()
    const reserve = { cpuShares: 4096, memoryBytes: 64 * MIB }
    const host = openCgroupHost({ platformId, logger: silentLogger, clock: realClock, reserve })
    expect(own()).toContain(`/thaw-${platformId}-platform`)
    await host.close()
    expect(own()).toBe(before)
    expect(snapshotKernel(platformId).cgroups).toEqual([])
    expect(existsSync(`/run/thaw/${platformId}`)).toBe(false)
  })
})
