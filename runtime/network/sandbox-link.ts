// One sandbox's link: its namespace, address, rates, counters, and what is open for it in the filter. Made by the pool of
// network.ts, which also takes it back; a link has one sandbox and never another.
import { closeSync, openSync, readSync } from 'node:fs'
import { NetlinkSocket } from '../host/netlink.ts'
import type { Limits } from '../limits/limits.ts'
import { type AllowList, addressNumber, addressText, isPublicAddress } from './addresses.ts'
import { type EgressRule, literalRanges } from './egress-rules.ts'
import type { Grants } from './grants.ts'
import type { LinkIndexes } from './links.ts'
import { openForMs } from './name-policy.ts'
import { SendRate } from './rates.ts'
import { addressKey, interfaceKey, portKey, type SetMember, type TableSets } from './sets.ts'

export interface LinkParts {
  readonly namespacePath: string
  readonly interfaceName: string
  readonly address: string
  readonly indexes: LinkIndexes
  readonly sets: TableSets
  /** What is open by name, of all links. */
  readonly grants: Grants
  /** In the platform's own namespace. */
  readonly route: NetlinkSocket
  readonly allow: AllowList
  readonly nowMs: () => number
}

export interface NetworkCounters {
  readonly rxBytes: number
  readonly txBytes: number
}

/** Of /proc/net/dev: some kernels put idle tunnels into every namespace, a line each. */
const COUNTERS_BYTES = 4096
/** Of the time a way is open beyond its record, what may be gone when the same record is given out again. */
const SPARE_MS = 30_000
/** Members of the sets that are open by name, of one sandbox; its oldest is closed when there is one more. */
const MOST_OPEN = 1024

/** A way that is open: when it closes, and what it is in the filter. */
interface Way {
  readonly key: string
  readonly untilMs: number
  readonly count: number
  readonly members: readonly SetMember[]
  close(): void
}

export class SandboxLink {
  readonly namespacePath: string
  readonly interfaceName: string
  readonly address: string
  readonly #parts: LinkParts
  readonly #number: number
  readonly #inner: NetlinkSocket
  readonly #receive: SendRate
  readonly #send: SendRate
  readonly #fixed: SetMember[] = []
  /** By key, the oldest first. */
  readonly #ways = new Map<string, Way>()
  /** Members of them. */
  #open = 0
  readonly #text = Buffer.alloc(COUNTERS_BYTES)
  #counters: number | null = null
  /** Null: every public address. Undefined: nothing was opened yet. */
  rules: readonly EgressRule[] | null | undefined = undefined
  /** The namespace whose sandbox it has, with which it shares what can be open by name; its own address before. */
  group: string

  /** Throws SystemError. */
  constructor(parts: LinkParts) {
    this.#parts = parts
    this.namespacePath = parts.namespacePath
    this.interfaceName = parts.interfaceName
    this.address = parts.address
    this.group = parts.address
    this.#number = addressNumber(parts.address)
    this.#inner = new NetlinkSocket('route', parts.namespacePath)
    this.#receive = new SendRate(parts.route, parts.indexes.outer)
    this.#send = new SendRate(this.#inner, parts.indexes.inner)
    this.#fix([{ set: 'sandboxes', key: Buffer.concat([interfaceKey(parts.interfaceName), addressKey(this.#number)]) }])
  }

  /** Opens what the sandbox may reach: once, before anything of a function runs in it. Throws SystemError. */
  open(rules: readonly EgressRule[] | null, group: string): void {
    this.rules = rules
    this.group = group
    if (rules === null) this.#fix([{ set: 'open', key: addressKey(this.#number) }])
    else this.#fix(literals(this.#number, rules))
  }

  /** Opens the way to an address that a name led to. Throws Error when others need the room for it. */
  openWay(name: string, address: number, ttlSeconds: number, ports: readonly number[] | null): void {
    const { allow, nowMs, sets, grants } = this.#parts
    const timeoutMs = openForMs(ttlSeconds)
    const isExcused = allow.hosts.has(name) && !isPublicAddress(addressText(address), 4)
    const members = this.#membersOf(address, ports, isExcused, timeoutMs)
    if (members.length === 0) return
    const key = `${address}/${ports === null ? '' : ports.join(',')}/${isExcused}`
    const before = this.#ways.get(key)
    const untilMs = nowMs() + timeoutMs
    // What stays open longer than the answer is good for is not touched: a program that asks all the time changes little.
    if (before !== undefined && before.untilMs - nowMs() > timeoutMs - SPARE_MS) return
    const count = members.length
    const way: Way = { key, untilMs, count, members, close: () => this.#close(way) }
    if (before !== undefined) {
      // As many as before: there is room.
      sets.replace(before.members, members)
      this.#forget(before)
    } else {
      this.#makeRoom(count, nowMs())
      if (!grants.admit(this.group, count, nowMs())) throw new Error('the table of what is open by name is full')
      sets.add(members)
    }
    this.#ways.set(key, way)
    this.#open += count
    grants.add(this.group, way)
  }

  /** The process inside runs: from now on its traffic can be read. Throws Error. */
  attach(pid: number): void {
    this.#counters = openSync(`/proc/${pid}/net/dev`, 'r')
  }

  /** Bytes so far, as the sandbox sees them; zero before it is attached. */
  counters(): NetworkCounters {
    if (this.#counters === null) return { rxBytes: 0, txBytes: 0 }
    return parseCounters(
      this.#text.toString('latin1', 0, readSync(this.#counters, this.#text, 0, this.#text.length, 0)),
    )
  }

  /** Throws SystemError. */
  applyRates(limits: Pick<Limits, 'networkRxBps' | 'networkTxBps'>): void {
    this.#receive.set(limits.networkRxBps ?? null)
    this.#send.set(limits.networkTxBps ?? null)
  }

  /** Closes every way and every file. The namespace goes with its file, and with the last process in it. */
  close(): void {
    if (this.#counters !== null) closeSync(this.#counters)
    this.#counters = null
    this.#inner.close()
    for (const way of [...this.#ways.values()]) this.#close(way)
    this.#parts.sets.remove(this.#fixed.splice(0))
  }

  #membersOf(address: number, ports: readonly number[] | null, isExcused: boolean, timeoutMs: number): SetMember[] {
    const key = addressKey(this.#number, address)
    const members: SetMember[] = []
    if (this.rules !== null && ports === null) members.push({ set: 'resolved', key, timeoutMs })
    if (this.rules !== null)
      for (const port of ports ?? [])
        members.push({ set: 'resolved_port', key: Buffer.concat([key, portKey(port)]), timeoutMs })
    if (isExcused) members.push({ set: 'excused', key, timeoutMs })
    return members
  }

  #fix(members: readonly SetMember[]): void {
    this.#parts.sets.add(members)
    this.#fixed.push(...members)
  }

  #close(way: Way): void {
    this.#forget(way)
    // What went by itself is not there any more.
    if (way.untilMs > this.#parts.nowMs()) this.#parts.sets.remove(way.members)
  }

  #forget(way: Way): void {
    this.#parts.grants.delete(way)
    if (this.#ways.delete(way.key)) this.#open -= way.count
  }

  /** Closes this sandbox's oldest, those that have gone by themselves first of all. */
  #makeRoom(count: number, nowMs: number): void {
    if (this.#open + count <= MOST_OPEN) return
    for (const way of [...this.#ways.values()]) if (way.untilMs <= nowMs) this.#forget(way)
    for (const way of [...this.#ways.values()]) {
      if (this.#open + count <= MOST_OPEN) return
      this.#close(way)
    }
  }
}

/** Members of the set `literal` for the rules that name addresses. */
function literals(source: number, rules: readonly EgressRule[]): SetMember[] {
  return literalRanges(rules).map(({ first, last, lowPort, highPort }) => ({
    set: 'literal',
    key: Buffer.concat([addressKey(source, first), portKey(lowPort)]),
    end: Buffer.concat([addressKey(source, last), portKey(highPort)]),
  }))
}

/** The line of eth0 in /proc/net/dev: bytes received are its first number, bytes sent its ninth. */
export function parseCounters(text: string): NetworkCounters {
  const at = text.indexOf('eth0:')
  if (at < 0) return { rxBytes: 0, txBytes: 0 }
  const numbers = text
    .slice(at + 5)
    .trimStart()
    .split(/\s+/, 9)
  return { rxBytes: Number(numbers[0]), txBytes: Number(numbers[8]) }
}
