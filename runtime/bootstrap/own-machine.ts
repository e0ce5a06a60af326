// What `node:os` and `process` tell of the machine, made true for a sandbox: its memory, and its network interfaces, which Node
// cannot ask the kernel for (a sandbox makes no netlink socket). Installed once, before the code.
import { networkInterfaces as askKernel, os, readFileSync, syncBuiltinESMExports } from './builtins.ts'

type Interfaces = ReturnType<typeof askKernel>

let limitBytes = 0
let installed = false

/** `memoryBytes`: the limit of the function. Calls after the first change only that. */
export function tellMemory(memoryBytes: number): void {
  limitBytes = memoryBytes
}

/** Puts the true answers in place of Node's; again is a no-op. */
export function installOwnMachine(): void {
  if (installed) return
  installed = true
  const resident = process.memoryUsage.rss.bind(process.memoryUsage)
  const free = (): number => Math.max(0, limitBytes - resident())
  os.totalmem = () => limitBytes
  os.freemem = free
  os.networkInterfaces = interfaces
  process.constrainedMemory = () => limitBytes
  process.availableMemory = free
  syncBuiltinESMExports()
}

function interfaces(): Interfaces {
  try {
    return askKernel()
  } catch {
    return readInterfaces((name) => {
      try {
        return readFileSync(`/proc/net/${name}`, 'utf8')
      } catch {
        return ''
      }
    })
  }
}

/** From the kernel's own tables (proc_net(5)): `fib_trie` has the addresses, `route` masks and names, `dev` all names, `if_inet6`
 *  the addresses of IPv6. MAC addresses are in none of them. `read` gives '' for one that is not there. */
export function readInterfaces(read: (name: string) => string): Interfaces {
  const names = [...read('dev').matchAll(/^\s*([^\s:]+):/gm)].map(([, name]) => name!)
  const routes = [...read('route').matchAll(/^(\S+)\t([0-9A-F]{8})\t[0-9A-F]{8}\t(?:\S+\t){4}([0-9A-F]{8})/gm)].map(
    ([, name, target, mask]) => ({ name: name!, target: wordOf(target!), mask: wordOf(mask!) }),
  )
  const found: Interfaces = {}
  for (const address of localAddresses(read('fib_trie'))) {
    const number = numberOf(address)
    const internal = number >>> 24 === 127
    const route = routes.find(({ target, mask }) => mask !== 0 && (number & mask) >>> 0 === target)
    const name = internal ? 'lo' : (route?.name ?? names.find((one) => one !== 'lo'))
    if (name === undefined) continue
    const mask = internal ? 0xff00_0000 : (route?.mask ?? 0xffff_ffff)
    const bits = 32 - Math.log2(((~mask >>> 0) as number) + 1)
    found[name] ??= []
    found[name].push({
      address,
      netmask: textOf(mask),
      family: 'IPv4',
      mac: NO_MAC,
      internal,
      cidr: `${address}/${bits}`,
    })
  }
  for (const [, hex, index, bits, name] of read('if_inet6').matchAll(IPV6_LINE)) {
    const address = ipv6Of(hex!)
    const internal = name === 'lo'
    const netmask = ipv6Of(
      'f'
        .repeat(32)
        .slice(0, Number.parseInt(bits!, 16) >> 2)
        .padEnd(32, '0'),
    )
    const cidr = `${address}/${Number.parseInt(bits!, 16)}`
    const scopeid = address.startsWith('fe80:') ? Number.parseInt(index!, 16) : 0
    found[name!] ??= []
    found[name!]!.push({ address, netmask, family: 'IPv6', mac: NO_MAC, internal, cidr, scopeid })
  }
  return found
}

const NO_MAC = '00:00:00:00:00:00'
const IPV6_LINE = /^([0-9a-f]{32}) ([0-9a-f]{2,}) ([0-9a-f]{2}) [0-9a-f]{2} [0-9a-f]{2} +(\S+)$/gm

/** Addresses marked as the host's own, each once. */
function localAddresses(trie: string): string[] {
  const local = /\|-- (\d+\.\d+\.\d+\.\d+)\n\s+\/32 host LOCAL/g
  return [...new Set([...trie.matchAll(local)].map(([, address]) => address!))]
}

/** A word of the machine's byte order, as `/proc/net/route` prints it, in the network's. */
function wordOf(hex: string): number {
  return Buffer.from(hex, 'hex').readUInt32LE()
}

function numberOf(address: string): number {
  return address.split('.').reduce((number, part) => number * 256 + Number(part), 0)
}

function textOf(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.')
}

/** RFC 5952: the longest run of zero groups, of two at least, is left out. */
function ipv6Of(hex: string): string {
  const groups = hex.match(/.{4}/g)!.map((group) => Number.parseInt(group, 16).toString(16))
  const text = groups.join(':')
  const runs = [...text.matchAll(/(?<![\da-f])0(?::0)+(?![\da-f])/g)]
  const longest = runs.toSorted((a, b) => b[0].length - a[0].length)[0]
  if (longest === undefined) return text
  const after = text.slice(longest.index + longest[0].length)
  return `${text.slice(0, longest.index).replace(/:$/, '')}::${after.replace(/^:/, '')}`
}
