// What survives: kill -9 of the platform or of every process at any moment, Redis killed, a full disk. Nothing accepted is
// lost, nothing is left over, everything deployed comes back.
import { existsSync, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { InvocationRecord, SandboxInfo } from '../../worker/api.ts'
import type { FunctionEntry } from '../../worker/registry/api.ts'
import { type Disk, mountDisk } from '../support/disk.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { leftovers, processesOf } from '../support/platform-leftovers.ts'
import { until } from '../support/until.ts'

const FLAKY = join(ROOT, 'test', 'fixtures', 'functions', 'flaky.ts')
const asyncHeaders = { prefer: 'respond-async' }

/** Submits calls until told to stop and keeps the location of every one that was accepted. */
function submitter(platform: Platform): { accepted: string[]; stop(): Promise<void> } {
  const accepted: string[] = []
  let going = true
  const loop = async (): Promise<void> => {
    for (let i = 0; going && i < 400; i++) {
      try {
        const response = await platform.request(`/fn/flaky?sleep=${i % 5 === 0 ? 300 : 0}`, {
          method: 'POST',
          body: `${i}`,
          headers: asyncHeaders,
        })
        if (response.status === 202) accepted.push(response.headers.get('location') ?? '')
        await response.arrayBuffer()
      } catch {
        going = false // the platform is gone: what it accepted so far is what counts
      }
    }
  }
  const loops = [loop(), loop()]
  return {
    accepted,
    stop: async () => {
      going = false
      await Promise.all(loops)
    },
  }
}

async function allSucceed(platform: Platform, accepted: readonly string[]): Promise<void> {
  await until(
    'every accepted call succeeded',
    async () => {
      for (const location of accepted) {
        const { state } = await platform.json<InvocationRecord>(location)
        if (state !== 'succeeded') return `${location} is ${state}`
      }
      return true
    },
    60_000,
  )
}

describe('kill -9', () => {
  let platform: Platform
  beforeAll(async () => {
    platform = await startPlatform()
    await platform.deploy(FLAKY)
    await platform.deploy(FLAKY, '--name', 'second')
    await platform.deploy(FLAKY, '--name', 'provisioned', '--min-warm', '1')
    expect((await platform.fn('alias', 'second', 'prod', '1=100')).code).toBe(0)
  })
  afterAll(() => platform.stop())

  test('of the platform at ten random moments: nothing left behind, nothing accepted lost, all functions back', async () => {
    const accepted: string[] = []
    for (let round = 0; round < 10; round++) {
      const load = submitter(platform)
      const momentMs = Math.random() * 600
      const from = performance.now()
      await until(
        `${momentMs.toFixed()} ms of load`,
        () => performance.now() - from > momentMs && load.accepted.length > 0,
      )
      const { id, stateDir } = platform
      await platform.kill9(round % 2 === 0 ? 'platform' : 'everything')
      await load.stop()
      accepted.push(...load.accepted)
      // With every process killed the guard is gone too: then the next start cleans up.
      if (round % 2 === 0) await until('the guard cleaned up', () => leftovers(id, stateDir).join(', ') || true, 10_000)
      await platform.restart()
    }
    expect(accepted.length).toBeGreaterThan(10)
    await allSucceed(platform, accepted)
    const functions = await platform.json<FunctionEntry[]>('/v1/functions')
    expect(functions.map((entry) => entry.name)).toEqual(['flaky', 'provisioned', 'second'])
    expect(functions[2]!.aliases.prod).toEqual({ weights: { 1: 100 } })
    await until('the function with min-warm has a sandbox that nobody asked for', async () => {
      const sandboxes = await platform.json<SandboxInfo[]>('/v1/sandboxes')
      return sandboxes.some((sandbox) => sandbox.function === 'provisioned')
    })
    expect((await platform.request('/fn/second@prod', { method: 'POST', body: 'x' })).status).toBe(201)
  })

  test('of Redis: synchronous calls go on, asynchronous ones are refused honestly, then it is back by itself', async () => {
    const redis = processesOf(platform.id, platform.stateDir).find((pid) => commandName(pid).includes('redis-server'))
    expect(redis).toBeDefined()
    process.kill(redis!, 'SIGKILL')
    for (let i = 0; i < 20; i++) {
      expect((await platform.request('/fn/flaky', { method: 'POST', body: 'x' })).status).toBe(201)
      const refused = await platform.request('/fn/flaky', { method: 'POST', body: 'x', headers: asyncHeaders })
      expect([202, 503]).toContain(refused.status)
    }
    await until('it is ready again', async () => (await platform.request('/readyz')).status === 200, 20_000)
    const response = await platform.request('/fn/flaky', { method: 'POST', body: 'back', headers: asyncHeaders })
    expect(response.status).toBe(202)
    await allSucceed(platform, [response.headers.get('location') ?? ''])
  })
})

function commandName(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return '' // it ended meanwhile
  }
}

describe('a full disk', () => {
  let disk: Disk
  let platform: Platform
  beforeAll(async () => {
    disk = await mountDisk(mkdtempSync(join(tmpdir(), 'thaw-disk-')), 700)
    platform = await startPlatform({ stateDir: join(disk.path, 'state') })
    await platform.deploy(FLAKY)
  })
  afterAll(async () => {
    await platform.stop()
    await disk.unmount()
    rmSync(disk.folder, { recursive: true, force: true })
  })

  test('refuses deploys and asynchronous calls with a clear error, serves synchronous ones, and recovers when there is room', async () => {
    const filler = join(disk.path, 'filler')
    await fill(filler, disk.path)
    expect((await platform.request('/fn/flaky', { method: 'POST', body: 'x' })).status).toBe(201)
    const deploy = await platform.fn('deploy', join(ROOT, 'functions', 'echo.ts'))
    expect(deploy.code).toBe(1)
    const large = await platform.request('/fn/flaky', {
      method: 'POST',
      body: 'x'.repeat(300_000),
      headers: asyncHeaders,
    })
    expect(large.status).toBe(503)
    expect(large.headers.get('content-type')).toContain('application/problem+json')
    expect((await platform.request('/fn/flaky', { method: 'POST', body: 'x' })).status).toBe(201)
    await until('/readyz says that the disk is full', async () => {
      const ready = await platform.request('/readyz')
      const said = await ready.text()
      return (ready.status === 503 && /the disk of \$FN_STATE_DIR.* is full/.test(said)) || said
    })
    rmSync(filler)
    await until('it is ready again', async () => (await platform.request('/readyz')).status === 200, 30_000)
    await until(
      'a deploy works again',
      async () => (await platform.fn('deploy', join(ROOT, 'functions', 'echo.ts'))).code === 0,
      30_000,
    )
    // How much room there is may be known from a moment ago: a caller who is told 503 tries again.
    let location = ''
    await until(
      'an asynchronous call is accepted again',
      async () => {
        const body = 'x'.repeat(300_000)
        const response = await platform.request('/fn/flaky', { method: 'POST', body, headers: asyncHeaders })
        location = response.headers.get('location') ?? ''
        return response.status === 202
      },
      30_000,
    )
    await allSucceed(platform, [location])
    expect(existsSync(join(disk.path, 'state', 'token'))).toBe(true)
  })
})

/** Writes until there is no byte left. */
async function fill(path: string, disk: string): Promise<void> {
  for (let size = 1024 * 1024; size >= 1024; size /= 4) {
    const block = Buffer.alloc(size)
    const { bavail, bsize } = statfsSync(disk)
    for (let written = 0; written < bavail * bsize + size; written += size) {
      try {
        await writeFile(path, block, { flag: 'a' })
      } catch {
        break
      }
    }
  }
}
