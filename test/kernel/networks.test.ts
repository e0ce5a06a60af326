// Sandboxes with a bridge as kernel objects: made in steps that are taken back, a namespace and an address each, nothing left.
// Nothing in them sends anything.
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Sandbox } from '../../runtime/api.ts'
import { run } from '../../runtime/host/spawn.ts'
import { DEFAULT_LIMITS } from '../../runtime/limits/limits.ts'
import { interfacesWith } from '../../runtime/network/links.ts'
import { useSandboxes } from '../support/kernel-sandboxes.ts'
import { until } from '../support/until.ts'

let failAfter: string | null = null
const sandboxes = useSandboxes({
  afterStep: (name) => {
    if (name === failAfter) throw new Error(`made to fail after ${name}`)
  },
})
const spec = { layers: [], limits: { ...DEFAULT_LIMITS }, network: 'bridge' as const, writableRootBytes: null }
const id = () => sandboxes.platform.platformId
const runtime = () => sandboxes.platform.runtime
const linksOf = () => interfacesWith(`thw${id()}-`)
/** Those in use: two more are kept ready. */
const namespaces = () => readdirSync(`/run/thaw/${id()}/network`).filter((name) => /^[0-9a-z]{1,3}$/.test(name))

async function settled(links: number): Promise<void> {
  await until(
    `${links} links`,
    () => (linksOf().length === links && namespaces().length === links) || linksOf().join(' '),
  )
}

async function create(): Promise<Sandbox> {
  return await runtime().create(spec)
}

test('two are apart, and a third has neither the namespace nor the address of one that is gone', async () => {
  const [one, two] = [await create(), await create()]
  const ends = async ({ pid }: Sandbox) => {
    const { stdout } = await run('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', '-4', '-o', 'addr', 'show', 'eth0'])
    return /inet ([\d.]+)/.exec(stdout)?.[1]
  }
  const addresses = [await ends(one), await ends(two)]
  await one.destroy()
  const three = await create()
  addresses.push(await ends(three))
  expect(new Set(addresses).size).toBe(3)
  expect(addresses.every((address) => address?.startsWith('198.1'))).toBe(true)
  await Promise.all([two.destroy(), three.destroy()])
  await settled(2)
})

test('the namespace is the host’s: who is root inside has no power over its interfaces', async () => {
  const sandbox = await create()
  const { code, stderr } = await run('nsenter', [
    ...[`--user=/proc/${sandbox.pid}/ns/user`, `--net=/proc/${sandbox.pid}/ns/net`, '--setuid=0', '--setgid=0'],
    ...['ip', 'link', 'set', 'eth0', 'down'],
  ])
  expect([code === 0, stderr]).toEqual([false, expect.stringContaining('not permitted')])
  await sandbox.destroy()
  await settled(2)
})

describe('a creation that fails', () => {
  const names = ['uids', 'folder', 'network', 'root', 'config', 'container', 'cgroup', 'ready']
  test.each(names)('after step %s gives its link back', async (name) => {
    failAfter = name
    await expect(create()).rejects.toMatchObject({ code: 'CREATE_FAILED' })
    failAfter = null
    await settled(2)
  })
})

test('nothing is open for a sandbox before it is a function’s', async () => {
  const sandbox = await create()
  const { stdout } = await run('nft', ['list', 'set', 'inet', `thaw-${id()}`, 'open'])
  expect(stdout).not.toContain('elements')
  runtime().networks?.allow(sandbox.id, null, 'somebody')
  expect((await run('nft', ['list', 'set', 'inet', `thaw-${id()}`, 'open'])).stdout).toContain('198.1')
  await sandbox.destroy()
  expect((await run('nft', ['list', 'set', 'inet', `thaw-${id()}`, 'open'])).stdout).not.toContain('elements')
})

test('the network of the host is refused unless an administrator allows it', async () => {
  await expect(runtime().create({ ...spec, network: 'host' })).rejects.toMatchObject({ message: /--host-network/ })
  expect(readFileSync('/proc/sys/net/ipv4/ip_forward', 'latin1').trim()).toBe('1')
})

test('its end leaves no interface, table or namespace', async () => {
  await runtime().close()
  expect(interfacesWith(`thw${id()}`)).toEqual([])
  expect((await run('nft', ['list', 'tables'])).stdout).not.toContain(id())
})
