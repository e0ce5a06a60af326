// Deploys one after the other leave nothing of the versions before: sandboxes, cgroups, mounts and descriptors stay as they are; and the
// files of the state directory are those that a start reads, after a stop and after a kill.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SandboxInfo } from '../../worker/api.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

let platform: Platform
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-superseded-'))
  const stateDir = join(folder, 'state')
  mkdirSync(stateDir)
  platform = await startPlatform({ env: { FN_STEMS: '0' }, stateDir })
})
afterAll(async () => {
  await platform.stop()
  rmSync(folder, { recursive: true })
})

async function deploy(number: number): Promise<void> {
  const file = join(folder, 'often.ts')
  writeFileSync(file, `export default () => new Response('${number}')\n`)
  await platform.deploy(file)
}
const textOf = async (path: string): Promise<string> => (await platform.request(path)).text()
const versions = async (): Promise<number[]> =>
  (await platform.json<SandboxInfo[]>('/v1/sandboxes')).map(({ version }) => version)

/** What the kernel keeps for this platform. */
function held() {
  const folders = ['/sys/fs/cgroup', ...readdirSync('/sys/fs/cgroup').map((name) => join('/sys/fs/cgroup', name))]
  const groups = folders
    .map((parent) => join(parent, `thaw-${platform.id}`))
    .filter((path) => existsSync(path))
    .flatMap((path) => readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory()))
  const mounts = readFileSync(`/proc/${platform.pid}/mountinfo`, 'utf8').split('\n')
  return { groups: groups.length, mounts: mounts.length, files: readdirSync(`/proc/${platform.pid}/fd`).length }
}

test('twenty deploys hold what one does', async () => {
  await deploy(1)
  expect(await textOf('/fn/often')).toBe('1')
  const one = held()
  for (let number = 2; number <= 20; number++) await deploy(number)
  expect(await textOf('/fn/often')).toBe('20')
  await until('one sandbox is left', async () => (await versions()).join() === '20')
  await until('the kernel holds no more than before', () => {
    const now = held()
    const isFlat = now.groups <= one.groups && now.mounts <= one.mounts && now.files <= one.files + 5
    return isFlat || `${JSON.stringify(now)}, before ${JSON.stringify(one)}`
  })
})

test('a version of before answers to its number, and goes again by itself', async () => {
  expect(await textOf('/fn/often@3')).toBe('3')
  expect(await textOf('/fn/often@3')).toBe('3')
  expect((await versions()).sort((a, b) => a - b)).toEqual([3, 20])
  await until('it is gone', async () => (await versions()).join() === '20', 30_000)
  expect(await textOf('/fn/often')).toBe('20')
})

test('all versions are there after a kill, which leaves logs, and after a stop, which leaves none', async () => {
  await platform.kill9()
  const logs = () => readdirSync(platform.stateDir).filter((name) => /\.json\.log\.\d+$/.test(name))
  expect(logs().some((name) => name.startsWith('registry.json'))).toBe(true)
  await platform.restart()
  expect([await textOf('/fn/often'), await textOf('/fn/often@7')]).toEqual(['20', '7'])
  await platform.stop()
  expect(logs()).toEqual([])
  await platform.restart()
  expect([await textOf('/fn/often'), await textOf('/fn/often@7')]).toEqual(['20', '7'])
  const index = JSON.parse(readFileSync(join(platform.stateDir, 'index.json'), 'utf8'))
  expect(index.manifests).toHaveLength(20)
})
