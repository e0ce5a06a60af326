// The host's own share: fifty sandboxes take all the CPU, memory and tasks they can get, and the gateway, a neighbour's
// calls and the operator go on.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SandboxInfo } from '../../worker/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

const EACH = 17
const DEEDS = ['spin', 'allocate', 'fork']
let platform: Platform
const sandboxes = () => platform.json<SandboxInfo[]>('/v1/sandboxes')

beforeAll(async () => {
  platform = await startPlatform()
  await platform.deploy(join(ROOT, 'functions', 'hello.ts'), '--name', 'neighbour', '--min-warm', '1')
  for (const deed of DEEDS) {
    const file = join(ROOT, 'test', 'fixtures', 'functions', 'hostile.ts')
    await platform.deploy(
      file,
      '--name',
      deed,
      '--min-warm',
      String(EACH),
      '--memory',
      '64m',
      '--memory-swap',
      '64m',
      '--pids',
      '48',
      '--timeout',
      '6s',
    )
  }
  await until(
    'all are there',
    async () => (await sandboxes()).length > EACH * DEEDS.length || `${(await sandboxes()).length}`,
    90_000,
  )
})
afterAll(() => platform.stop())

test('the platform has a cgroup of its own', () => {
  const own = readFileSync(`/proc/${platform.pid}/cgroup`, 'utf8')
  expect(own).toContain(`/thaw-${platform.id}-platform`)
})

test('with 51 hostile sandboxes at work the gateway answers, a neighbour is served, and an operator can kill', async () => {
  const hostile = DEEDS.flatMap((deed) =>
    Array.from({ length: EACH }, () => platform.request(`/fn/${deed}/${deed}`).then((response) => response.status)),
  )
  await until(
    'all of them run',
    async () => {
      const busy = (await sandboxes()).filter((row) => row.state === 'busy').length
      // Those that allocate end almost at once.
      return busy >= EACH * (DEEDS.length - 1) || `${busy} busy`
    },
    20_000,
  )
  for (let n = 0; n < 40; n++) {
    for (const path of ['/healthz', '/fn/neighbour']) {
      const response = await platform.request(path, { signal: AbortSignal.timeout(5000) })
      expect(response.status, path).toBe(200)
      await response.arrayBuffer()
    }
  }
  const bomb = (await sandboxes()).find((row) => row.function === 'fork' && row.state === 'busy')
  expect((await platform.fn('kill', bomb!.id)).code).toBe(0)
  const statuses = await Promise.all(hostile)
  expect(new Set(statuses)).toEqual(new Set([502, 504]))
  expect((await platform.request('/fn/neighbour')).status).toBe(200)
})
