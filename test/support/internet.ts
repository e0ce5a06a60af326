// An Internet of our own for tests: two network namespaces, one for the platform's host, one behind it with public, private and
// metadata addresses, web servers on all of them and a name server. Nothing leaves them: the host's has no other way out.
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { run, type SpawnedProcess, spawn } from '../../runtime/host/spawn.ts'
import { until } from './until.ts'

const SERVER = fileURLToPath(new URL('../fixtures/internet-server.ts', import.meta.url))

/** Addresses of the servers; `names` is the name server's. */
export const INTERNET = {
  web: '93.184.216.34',
  other: '1.2.3.4',
  metadata: '169.254.169.254',
  database: '10.1.2.3',
  neighbour: '192.168.7.7',
  shared: '100.72.0.9',
  names: '9.9.9.9',
} as const

export interface Internet {
  /** Path of the namespace to run the platform in. */
  readonly namespace: string
  /** Its address that tests reach it at. */
  readonly address: string
  /** Address the servers see it as. */
  readonly uplink: string
  /** Settings of a platform that asks this Internet's name server. */
  readonly env: Readonly<Record<string, string>>
  /** Runs a command in the platform's namespace; its output. Throws when it fails. */
  inside(command: string): Promise<string>
  /** Requests and questions the servers were asked so far, one line each. */
  seen(): string[]
  /** After a kill: connections there are now are nobody's; the kernel forgets them in its own time, or a platform does before it
   *  uses their address. */
  excuseConnections(): Promise<void>
  /** Ends the servers and removes the namespaces. Throws when the platform left an interface, table, switch or connection in
   *  its own. */
  close(): Promise<void>
}

const UPLINK = '203.0.113.2'
const UPSTREAM = '203.0.113.1'

/** Needs root, `ip` and `nft`. */
export async function makeInternet(): Promise<Internet> {
  const name = `thawtest${process.pid.toString(36)}`
  const [near, far] = [`${name}a`, `${name}b`]
  const subnet = process.pid % 250
  const [address, tester] = [`198.19.${subnet}.2`, `198.19.${subnet}.1`]
  const setUp = [
    `netns add ${near}`,
    `netns add ${far}`,
    `link add ${name}t type veth peer name test netns ${near}`,
    `addr add ${tester}/30 dev ${name}t`,
    `link set ${name}t up`,
    `link add uplink netns ${near} type veth peer name downlink netns ${far}`,
  ]
  const nearSide = [
    'link set lo up',
    `addr add ${address}/30 dev test`,
    'link set test up',
    `addr add ${UPLINK}/24 dev uplink`,
    'link set uplink up',
    `route add default via ${UPSTREAM}`,
  ]
  const farSide = [
    'link set lo up',
    `addr add ${UPSTREAM}/24 dev downlink`,
    'link set downlink up',
    ...Object.values(INTERNET).map((server) => `addr add ${server}/32 dev lo`),
  ]
  let server: SpawnedProcess | null = null
  const seen: string[] = []
  const close = async () => {
    server?.kill('SIGKILL')
    await server?.exited
    for (const namespace of [near, far]) await run('ip', ['netns', 'del', namespace])
    await run('ip', ['link', 'del', `${name}t`])
  }
  try {
    await removeAbandoned()
    await ip(setUp)
    await ip(nearSide, near)
    // A new namespace begins with what the first one has now.
    await run('nsenter', [`--net=/run/netns/${near}`, 'sh', '-c', 'echo 0 >/proc/sys/net/ipv4/ip_forward'])
    await ip(farSide, far)
    server = spawn('nsenter', [`--net=/run/netns/${far}`, process.execPath, SERVER, INTERNET.names], { stdin: 'pipe' })
    server.stdout?.setEncoding('utf8').on('data', (text: string) => seen.push(...text.trim().split('\n')))
    server.stderr?.setEncoding('utf8').on('data', (text: string) => seen.push(text))
    await until('the servers listen', () => seen.includes('ready') || seen.join('\n') || 'nothing said', 20_000)
  } catch (error) {
    await close()
    throw error
  }
  const inside = async (command: string) => {
    const result = await run('nsenter', [`--net=/run/netns/${near}`, 'sh', '-c', command])
    if (result.code !== 0) throw new Error(`${command}: ${result.stderr}`)
    return result.stdout
  }
  /** Of sandboxes: their first ends, without what changes with time. */
  const connections = async () =>
    (await inside('cat /proc/self/net/nf_conntrack 2>/dev/null || true'))
      .split('\n')
      .map((line) => /src=198\.18\.\S+ dst=\S+ sport=\S+ dport=\S+/.exec(line)?.[0])
      .filter((connection) => connection !== undefined)
  const excused = new Set<string>()
  return {
    excuseConnections: async () => {
      for (const connection of await connections()) excused.add(connection)
    },
    namespace: `/run/netns/${near}`,
    address,
    uplink: UPLINK,
    env: { FN_NAME_SERVERS: INTERNET.names },
    inside,
    seen: () => [...seen],
    close: async () => {
      const left = [
        ...(await inside('nft list tables')).split('\n').filter((line) => line.includes('thaw')),
        ...(await inside('cat /proc/self/net/dev')).split('\n').filter((line) => line.includes('thw')),
        ...((await inside('cat /proc/sys/net/ipv4/ip_forward')).trim() === '0' ? [] : ['ip_forward is on']),
        ...(await connections()).filter((connection) => !excused.has(connection)),
      ]
      await close()
      if (left.length > 0) throw new Error(`the platform left: ${left.join(', ')}`)
    },
  }
}

/** Namespaces of test runs that were killed: their processes are gone. */
async function removeAbandoned(): Promise<void> {
  for (const name of existsSync('/run/netns') ? readdirSync('/run/netns') : []) {
    const pid = /^thawtest(\w+)[ab]$/.exec(name)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${Number.parseInt(pid, 36)}`)) await run('ip', ['netns', 'del', name])
  }
}

async function ip(lines: readonly string[], namespace: string | null = null): Promise<void> {
  const args = [...(namespace === null ? [] : ['-n', namespace]), '-batch', '-']
  const result = await run('ip', args, { input: `${lines.join('\n')}\n` })
  if (result.code !== 0) throw new Error(`ip: ${result.stderr}`)
}
