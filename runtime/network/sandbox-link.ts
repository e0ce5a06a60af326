// One sandbox's link: its namespace, address, rates, counters, and what is open for it in the filter. Made by the pool of
// network.ts, which also takes it back; a link has one sandbox and never another.
import { closeSync, openSync, readSync } from 'node:fs'
import { NetlinkSocket } from '../host/netlink.ts'
import type { Limits } from '../limits/limits.ts'
import { type AllowList, addressNumber, addressText, isPublicAddress } from './addresses.ts'
import { type EgressRule, literalRanges } from './egress-rules.ts'
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
/** Ways that are open by name, of one sandbox; the oldest is closed when there is one more. */
const MOST_WAYS = 1024

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
  /** Key of an open way → when it closes, and what it is in the filter. */
  readonly #ways = new Map<string, { readonly untilMs: number; readonly members: readonly SetMember[] }>()
  readonly #text = Buffer.alloc(COUNTERS_BYTES)
  #counters: number | null = null
  /** Null: every public address. Undefined: nothing was opened yet. */
  rules: readonly EgressRule[] | null | undefined = undefined

  /** Throws SystemError. */
  constructor(parts: LinkParts) {
    this.#parts = parts
    this.namespacePath = parts.namespacePath
    this.interfaceName = parts.interfaceName
    this.address = parts.address
    this.#number = addressNumber(parts.address)
    this.#inner = new NetlinkSocket('route', parts.namespacePath)
    this.#receive = new SendRate(parts.route, parts.indexes.outer)
    this.#send = new SendRate(this.#inner, parts.indexes.inner)
    this.#fix([{ set: 'sandboxes', key: Buffer.concat([interfaceKey(parts.interfaceName), addressKey(this.#number)]) }])
  }

  /** Opens what the sandbox may reach: once, before anything of a function runs in it. Throws SystemError. */
  open(rules: readonly EgressRule[] | null): void {
    this.rules = rules
    if (rules === null) this.#fix([{ set: 'open', key: addressKey(this.#number) }])
    else this.#fix(literals(this.#number, rules))
  }

  /** Opens the way to an address that a name led to. */
  openWay(name: string, address: number, ttlSeconds: number, ports: readonly number[] | null): void {
    const { allow, nowMs } = this.#parts
    const timeoutMs = openForMs(ttlSeconds)
    const key = addressKey(this.#number, address)
    const members: SetMember[] = []
    if (this.rules !== null) {
      if (ports === null) members.push({ set: 'resolved', key, timeoutMs })
      else
        for (const port of ports)
          members.push({ set: 'resolved_port', key: Buffer.concat([key, portKey(port)]), timeoutMs })
    }
    const isExcused = allow.hosts.has(name) && !isPublicAddress(addressText(address), 4)
    if (isExcused) members.push({ set: 'excused', key, timeoutMs })
    if (members.length === 0) return
    const wayKey = `${address}/${ports === null ? '' : ports.join(',')}/${isExcused}`
    const before = this.#ways.get(wayKey)
    const untilMs = nowMs() + timeoutMs
    // What stays open longer than the answer is good for is not touched: a program that asks all the time changes little.
    if (before !== undefined && before.untilMs - nowMs() > timeoutMs - SPARE_MS) return
    if (before === undefined && this.#ways.size >= MOST_WAYS) this.#closeOldest()
    if (before === undefined) this.#parts.sets.add(members)
    else this.#parts.sets.replace(before.members, members)
    this.#ways.delete(wayKey) // the oldest stands first
    this.#ways.set(wayKey, { untilMs, members })
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
    for (const [key, { members }] of this.#ways) this.#close(key, members)
    this.#parts.sets.remove(this.#fixed.splice(0))
  }

  #fix(members: readonly SetMember[]): void {
    this.#parts.sets.add(members)
    this.#fixed.push(...members)
  }

  #close(key: string, members: readonly SetMember[]): void {
    this.#ways.delete(key)
    this.#parts.sets.remove(members)
  }

  #closeOldest(): void {
    for (const [key, { members }] of this.#ways) {
      this.#close(key, members)
      return
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
