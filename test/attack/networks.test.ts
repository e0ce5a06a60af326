// Attacks over the network of a sandbox with a bridge, and of one whose walls had fallen: the host's and the neighbours' addresses,
// metadata, names that lead astray, forged senders. The last group sends from a sandbox's own namespace as root, which no function
// is: what it could do if seccomp and capabilities did not stop it first.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../runtime/host/spawn.ts'
import { INTERNET, type Internet, makeInternet } from '../support/internet.ts'
import { type Platform, startPlatform } from '../support/platform.ts'

const TRAVELLER = 'test/fixtures/functions/traveller.ts'
let internet: Internet
let platform: Platform
let gateway: string
let neighbour: string
let pid: number

beforeAll(async () => {
  internet = await makeInternet()
  platform = await startPlatform({
    within: { namespace: internet.namespace, address: internet.address },
    env: internet.env,
  })
  for (const name of ['attacker', 'neighbour']) await platform.deploy(TRAVELLER, '--name', name, '--network', 'bridge')
  for (const name of ['attacker', 'neighbour'])
    expect(await attempt(name, 'resolve=api.example.com')).toEqual([INTERNET.web])
  const sandboxes = await platform.json<{ function: string; pid: number }[]>('/v1/sandboxes')
  const pidOf = (name: string) => sandboxes.find((one) => one.function === name)?.pid as number
  pid = pidOf('attacker')
  gateway = /nameserver (\S+)/.exec(readFileSync(`/proc/${pid}/root/etc/resolv.conf`, 'utf8'))?.[1] as string
  neighbour = await addressIn(pidOf('neighbour'))
})
afterAll(async () => {
  try {
    await platform?.stop()
  } finally {
    await internet?.close()
  }
})

async function addressIn(sandbox: number): Promise<string> {
  const { stdout } = await run('nsenter', [`--net=/proc/${sandbox}/ns/net`, 'ip', '-4', '-o', 'addr', 'show', 'eth0'])
  return /inet ([\d.]+)/.exec(stdout)?.[1] as string
}

async function attempt(name: string, query: string): Promise<unknown> {
  const response = await platform.request(`/fn/${name}?${query}`)
  return response.json()
}

describe('a function', () => {
  const port = () => String(platform.port)
  test.each([
    ['the platform by the address it listens at', () => `${internet.address}:${port()}`],
    ['the platform by the address of the bridge', () => `${gateway}:${port()}`],
    ['the host’s uplink', () => `${internet.uplink}:${port()}`],
    ['another sandbox', () => `${neighbour}:9229`],
    ['the metadata service', () => `${INTERNET.metadata}:80`],
    ['the metadata service written as a number', () => '2852039166:80'],
    ['a private address', () => `${INTERNET.database}:5432`],
    ['a private address, mapped', () => `[::ffff:${INTERNET.database}]:5432`],
    ['a neighbour of the host', () => `${INTERNET.neighbour}:80`],
    ['a shared address', () => `${INTERNET.shared}:80`],
    ['a multicast group', () => '224.0.0.251:80'],
    ['every host', () => '255.255.255.255:80'],
    ['IPv6, public', () => '[2606:2800:220:1::1]:80'],
    ['IPv6, link-local', () => '[fe80::1%eth0]:80'],
    ['IPv6, NAT64', () => '[64:ff9b::a9fe:a9fe]:80'],
  ])('does not reach %s', async (_what, target) => {
    const got = await attempt('attacker', `connect=${encodeURIComponent(target())}`)
    expect([
      'ECONNREFUSED',
      'EHOSTUNREACH',
      'ENETUNREACH',
      'EADDRNOTAVAIL',
      'ENOTFOUND',
      'EINVAL',
      'EACCES',
      'EAFNOSUPPORT',
    ]).toContain(got)
  })

  test('finds its own loopback, not the host’s, at 127.0.0.1', async () => {
    expect(await attempt('attacker', `connect=127.0.0.1:${platform.port}`)).toBe('ECONNREFUSED')
  })

  test.each([
    ['leads to the metadata service', 'rebind.example.com', 'EREFUSED'],
    ['leads to a private address besides a public one', 'mixed.example.com', 'EREFUSED'],
    ['is the host itself', 'localhost', 'ENOTFOUND'],
    ['is a function of nobody’s network', 'neighbour.fn.internal', 'ENOTFOUND'],
  ])('does not resolve a name that %s', async (_what, name, code) => {
    expect(await attempt('attacker', `resolve=${name}`)).toBe(code)
  })

  test('asks no other name server of the host', async () => {
    expect(await attempt('attacker', `datagram=${internet.uplink}:53`)).not.toBe('answered')
  })

  test('calls no function through the bridge when it is on no network', async () => {
    const url = encodeURIComponent(`http://${gateway}/v1/functions`)
    expect(await attempt('attacker', `fetch=${url}`)).toMatchObject({ status: 404 })
  })

  test('opens no raw, packet or netlink socket', async () => {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    expect(status).toMatch(/CapEff:\s+0+\n/)
    expect(status).toMatch(/Seccomp:\s+2/)
  })
})

describe('a function whose names lead to thousands of addresses', () => {
  test('fills no table of the host: another namespace’s names open their ways, and few of its own stay open', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'thaw-greedy-'))
    const ports = Array.from({ length: 64 }, (_none, index) => `*.evil.example:${index + 1}`)
    writeFileSync(join(folder, 'fn.json'), JSON.stringify({ network: 'bridge', allowHosts: ports }))
    copyFileSync(TRAVELLER, join(folder, 'index.ts'))
    const deployed = await platform.fn('--namespace', 'loud', 'deploy', folder, '--name', 'greedy')
    rmSync(folder, { recursive: true })
    expect(deployed.code, deployed.stderr).toBe(0)
    const calm = ['--namespace', 'calm', 'deploy', TRAVELLER, '--name', 'careful']
    const settled = await platform.fn(...calm, '--network', 'bridge', '--allow-host', 'api.example.com:80')
    expect(settled.code, settled.stderr).toBe(0)
    const within = async (namespace: string, name: string, query: string) => {
      const response = await platform.request(`/fn/${name}?${query}`, { headers: { 'fn-namespace': namespace } })
      return await response.json()
    }
    let opened = 0
    for (let name = 0; name < 60; name++) {
      const got = await within('loud', 'greedy', `resolve=many${name}.evil.example`)
      if (Array.isArray(got)) opened += got.length
    }
    // 32 addresses at 64 ports for each name would be all that the table holds, and more.
    expect(opened).toBeGreaterThan(16)
    expect(await within('calm', 'careful', 'resolve=api.example.com')).toEqual([INTERNET.web])
    expect(await within('calm', 'careful', `connect=${INTERNET.web}:80`)).toBe('connected')
    const table = /table inet (thaw-\S+)/.exec(await internet.inside('nft list tables'))?.[1]
    const listed = await internet.inside(`nft list set inet ${table} resolved_port`)
    expect(listed.match(/expires/g)?.length).toBeLessThanOrEqual(1_024 + 1)
    expect(listed.match(/expires/g)?.length).toBeGreaterThan(256)
  })
})

describe('root in a sandbox’s namespace', () => {
  const inside = async (command: string) =>
    (
      await run('nsenter', [`--net=/proc/${pid}/ns/net`, 'sh', '-c', command], {
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      })
    ).stdout
  /** Connects from an address that is added for it; what came of it. */
  const connectFrom = async (address: string, target: string) => {
    const script = `const s = require('node:net').connect({host: '${target}', port: 80, localAddress: '${address}'})
      s.once('connect', () => { console.log('connected'); process.exit() })
      s.once('error', (e) => { console.log(e.code); process.exit() })
      setTimeout(() => { console.log('silence'); process.exit() }, 700)`
    return (
      await inside(
        `ip addr add ${address}/32 dev eth0; '${process.execPath}' -e "${script}"; ip addr del ${address}/32 dev eth0`,
      )
    ).trim()
  }

  test('sends from no address but its own', async () => {
    expect(await connectFrom('198.51.100.7', INTERNET.web)).toBe('silence')
    expect(await connectFrom(neighbour, INTERNET.web)).toBe('silence')
    expect(internet.seen().some((line) => line.endsWith('from 198.51.100.7'))).toBe(false)
  })

  test('moves the host to believe no ARP, IPv6 or router it announces', async () => {
    const names = (await internet.inside("sed -n 's/^ *\\(thw[^:]*-[^:]*\\):.*/\\1/p' /proc/self/net/dev"))
      .trim()
      .split('\n')
    for (const name of names) {
      const shown = await internet.inside(
        `ip -d link show ${name}; ip -6 addr show dev ${name}; ip neigh show dev ${name}`,
      )
      expect(shown).toContain('NOARP')
      expect(shown).not.toContain('inet6')
      expect(shown.split('\n').filter((line) => /lladdr/.test(line))).toEqual([])
    }
  })

  test('changes its hardware address and is heard no better', async () => {
    await inside('ip link set eth0 address 02:00:00:00:00:99')
    expect(await attempt('attacker', `connect=${INTERNET.metadata}:80`)).not.toBe('connected')
    await inside('ip link set eth0 address 02:74:68:61:77:01')
    expect(await attempt('attacker', `connect=${INTERNET.web}:80`)).toBe('connected')
  })

  test('opens a flood of connections and is held to a rate', async () => {
    const script = `let ok = 0, refused = 0, open = 600
      const end = () => { if (--open === 0) { console.log(JSON.stringify({ok, refused})); process.exit() } }
      for (let i = 0; i < 600; i++) { const s = require('node:net').connect(80, '${INTERNET.web}')
        s.once('connect', () => { ok++; end() }); s.once('error', () => { refused++; end() }) }`
    const { ok, refused } = JSON.parse(await inside(`'${process.execPath}' -e "${script}"`)) as {
      ok: number
      refused: number
    }
    expect(ok).toBeGreaterThan(50)
    expect(ok).toBeLessThanOrEqual(300)
    expect(ok + refused).toBe(600)
  })

  test('has nothing put together on the host: pieces of a large datagram are dropped before', async () => {
    const reassembled = async () => {
      const [names, values] = (await internet.inside('cat /proc/self/net/snmp')).match(/^Ip: .*$/gm)!
      return Number(values!.split(' ')[names!.split(' ').indexOf('ReasmReqds')])
    }
    const before = await reassembled()
    const script = `const s = require('node:dgram').createSocket('udp4')
      const send = (left) => left === 0 ? s.close(() => console.log('sent'))
        : s.send(Buffer.alloc(8000), 53, '${INTERNET.web}', (e) => { if (e) throw e; send(left - 1) })
      send(20)`
    expect(await inside(`'${process.execPath}' -e "${script}"`)).toBe('sent\n')
    expect(await reassembled()).toBe(before)
  })

  test('has no more connections open than its share of the host’s table', async () => {
    const script = `let ok = 0, rounds = 0
      const timer = setInterval(() => {
        if (++rounds > 30) { console.log(ok); process.exit() }
        for (let i = 0; i < 20; i++) require('node:net').connect(80, '${INTERNET.web}')
          .once('connect', () => ok++).once('error', () => {})
      }, 100)`
    const ok = Number(await inside(`'${process.execPath}' -e "${script}"`))
    expect(ok).toBeGreaterThan(128)
    expect(ok).toBeLessThanOrEqual(256)
  })
})
