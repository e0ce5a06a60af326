// The interfaces of a platform's network, by the `ip` program: its own one, and for each sandbox a network namespace of its own
// with one end of a pair of interfaces in it. The wires know no ARP and no IPv6: each has two ends and nobody to ask for.
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { unmount } from '../host/mounts.ts'
import { run } from '../host/spawn.ts'

/** Both ends have it, so that a frame is always for the other. Locally administered, in no use anywhere else. */
const HARDWARE_ADDRESS = '02:74:68:61:77:01'

export interface LinkOptions {
  /** A file that becomes the namespace's name; not there yet. */
  readonly namespacePath: string
  /** Of the host's end. */
  readonly interfaceName: string
  readonly address: string
  readonly gateway: string
}

/** Indexes of the two ends, each in its own namespace. */
export interface LinkIndexes {
  readonly inner: number
  readonly outer: number
}

/** Makes the platform's own interface. Throws Error with what `ip` said. */
export async function makeGateway(name: string, address: string): Promise<void> {
  // A bridge without ports is what every kernel has of an interface that is only an address.
  await ip([
    `link add ${name} type bridge`,
    `addr add ${address}/32 dev ${name}`,
    `link set ${name}${noIpv6()}`,
    `link set ${name} up`,
  ])
}

/** Makes a namespace and its link. Throws Error with what `ip` said; `removeLink` takes back what was made. */
export async function makeLink(options: LinkOptions): Promise<LinkIndexes> {
  const { namespacePath, interfaceName, address, gateway } = options
  closeSync(openSync(namespacePath, 'wx', 0o600))
  const inner = [
    'link set lo up',
    `link add eth0 address ${HARDWARE_ADDRESS} type veth peer name ${interfaceName} address ${HARDWARE_ADDRESS} netns ${process.pid}`,
    `link set eth0 arp off${noIpv6()} up`,
    `addr add ${address}/32 dev eth0`,
    `route add ${gateway} dev eth0`,
    `route add default via ${gateway}`,
    'link show eth0',
  ]
  const outer = [`link set ${interfaceName} arp off${noIpv6()} up`, `route add ${address}/32 dev ${interfaceName}`]
  const text = [
    `unshare --net=${namespacePath} ip -batch - <<'END'`,
    ...inner,
    'END',
    "ip -batch - <<'END'",
    ...outer,
    'END',
  ]
  const result = await run('/bin/sh', ['-ec', text.join('\n')])
  const indexes = /^(\d+): eth0@if(\d+):/m.exec(result.stdout)
  if (result.code !== 0 || indexes === null)
    throw new Error(`${interfaceName} could not be made: ${result.stderr.trim() || `code ${result.code}`}`)
  return { inner: Number(indexes[1]), outer: Number(indexes[2]) }
}

/** Gives a namespace up: the kernel removes it, and its link, once no process is in it. Nothing to do when it is not there. */
export async function removeLink(namespacePath: string): Promise<void> {
  if (!existsSync(namespacePath)) return
  unmount(namespacePath)
  await rm(namespacePath, { force: true })
}

/** Removes interfaces now; those that are gone are fine. */
export async function removeInterfaces(names: readonly string[]): Promise<void> {
  if (names.length > 0)
    await run('ip', ['-force', '-batch', '-'], { input: names.map((name) => `link del ${name}\n`).join('') })
}

/** Names of the platform's interfaces that begin with `prefix`. */
export function interfacesWith(prefix: string): string[] {
  const lines = readFileSync('/proc/thread-self/net/dev', 'latin1').split('\n')
  return lines.map((line) => line.split(':')[0]?.trim() ?? '').filter((name) => name.startsWith(prefix))
}

/** No address of its own, so none at all; a kernel without IPv6 knows no such word. */
function noIpv6(): string {
  return existsSync('/proc/sys/net/ipv6') ? ' addrgenmode none' : ''
}

async function ip(lines: readonly string[]): Promise<void> {
  const result = await run('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` })
  if (result.code !== 0) throw new Error(`ip ${lines[0]}: ${result.stderr.trim() || `code ${result.code}`}`)
}
