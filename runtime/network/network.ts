// The network of a platform's sandboxes from its first use to its end: table, own interface, forwarding, resolver, and links made
// ahead, in steps with undo. Nothing of it is there until a sandbox wants it. What goes through is ruleset.ts's business.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock, Logger } from '../api.ts'
import { RuntimeError } from '../errors.ts'
import { hasProgram } from '../host/host-report.ts'
import { NetlinkSocket } from '../host/netlink.ts'
import { run } from '../host/spawn.ts'
import { createUnwind, type Unwind } from '../host/unwind.ts'
import { type AllowList, addressNumber, addressText } from './addresses.ts'
import { forgetConnections } from './connections.ts'
import { keepForwarding } from './forwarding.ts'
import { Grants } from './grants.ts'
import { interfacesWith, makeGateway, makeLink, removeInterfaces, removeLink } from './links.ts'
import { type NetworkNames, networkNames } from './names.ts'
import { Resolver } from './resolver.ts'
import { rulesetText } from './ruleset.ts'
import { SandboxLink } from './sandbox-link.ts'
import { TableSets } from './sets.ts'
import { chooseSubnet, parseRoutes, type Subnet } from './subnet.ts'
import { createUpstream, parseNameServers } from './upstream.ts'

export interface NetworkOptions {
  readonly platformId: string
  /** A number no other platform of this host has, and how many there can be. */
  readonly platform: number
  readonly platforms: number
  /** `/run/thaw/<id>/network`: names of namespaces lie here; on a tmpfs, removed with everything in it. */
  readonly folder: string
  /** Where platforms of the host agree on what they share. */
  readonly sharedFolder: string
  /** Asked by the resolver; empty: those of the host's resolv.conf. */
  readonly nameServers: readonly string[]
  /** Besides public addresses. */
  readonly allow: AllowList
  readonly clock: Clock
  readonly logger: Logger
  /** Whether the sandbox at this address has a peer of that name. */
  readonly isPeer: (link: SandboxLink, label: string) => boolean
  /** Whether the sandboxes of a group may look up so many names more now. */
  readonly mayAsk: (group: string, count: number) => boolean
}

/** Links kept ready. */
const READY_LINKS = 2
const RESOLV_CONF_MS = 10_000
/** How long links of a stopped platform may take to go by themselves. */
const GONE_POLLS = 20
const GONE_POLL_MS = 25

/** Why sandboxes cannot have a network here, with what would change it; null: they can, as far as is known without trying. */
export function missingForNetwork(has: (program: string) => boolean = hasProgram): string | null {
  const missing = [
    ...(has('nft') ? [] : ['nftables']),
    ...(has('ip') ? [] : ['iproute2']),
    ...(has('unshare') ? [] : ['util-linux']),
  ]
  return missing.length === 0 ? null : `install ${missing.join(' and ')} (apt-get install ${missing.join(' ')})`
}

export class SandboxNetwork {
  readonly #options: NetworkOptions
  readonly #names: NetworkNames
  readonly #unwind: Unwind
  readonly #links = new Map<string, SandboxLink>()
  readonly #ready: SandboxLink[] = []
  readonly #work = new Set<Promise<void>>()
  readonly #grants = new Grants()
  #subnet: Subnet | null = null
  #free: number[] = []
  #sets: TableSets | null = null
  #route: NetlinkSocket | null = null
  #connections: NetlinkSocket | null = null
  #resolver: Resolver | null = null
  #refilling = false
  #closed = false

  private constructor(options: NetworkOptions) {
    this.#options = options
    this.#names = networkNames(options.platformId)
    this.#unwind = createUnwind(options.logger)
  }

  /** Throws RuntimeError `NETWORK_UNAVAILABLE` with what failed; then nothing is left of it. */
  static async open(options: NetworkOptions): Promise<SandboxNetwork> {
    const network = new SandboxNetwork(options)
    try {
      await network.#open()
      return network
    } catch (error) {
      await network.#unwind.run()
      if (error instanceof RuntimeError) throw error
      const message = `this host gives sandboxes no network: ${(error as Error).message}`
      throw new RuntimeError('NETWORK_UNAVAILABLE', message, { cause: error })
    }
  }

  /** The platform's own address on it. */
  get gateway(): string {
    return this.#subnet?.gateway ?? ''
  }

  /** A link that is the caller's until `giveBack`. Throws RuntimeError `CREATE_FAILED`. */
  async take(): Promise<SandboxLink> {
    const link = this.#ready.shift() ?? (await this.#make())
    this.#refill()
    return link
  }

  /** ORDER: no process is left in the namespace: its address is somebody else's from now on. */
  async giveBack(link: SandboxLink): Promise<void> {
    if (!this.#links.delete(link.address)) return
    link.close()
    this.#resolver?.forget(link.address)
    await removeLink(link.namespacePath)
    if (this.#connections !== null) forgetConnections(this.#connections, addressNumber(link.address))
    this.#free.push(addressNumber(link.address))
  }

  /** The link with this address, or null. */
  linkAt(address: string): SandboxLink | null {
    return this.#links.get(address) ?? null
  }

  /** No sandbox has a link any more. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#work)
    for (const link of this.#links.values()) await this.giveBack(link)
    await this.#unwind.run()
  }

  /** ORDER: the filter before anything it filters; undone in reverse. */
  async #open(): Promise<void> {
    const { folder, sharedFolder, allow, clock, logger, platformId } = this.#options
    const missing = missingForNetwork()
    if (missing !== null) throw new Error(missing)
    const { table, gateway, sandboxes } = this.#names
    const subnet = this.#chooseSubnet()
    const mark = markFile(folder)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    this.#unwind.defer('folder', () => rm(folder, { recursive: true, force: true }))
    writeFileSync(mark, `${table}\n`, { mode: 0o600 })
    this.#unwind.defer('mark', () => rmSync(mark, { force: true }))
    const forwarding = keepForwarding(sharedFolder, platformId)
    this.#unwind.defer('forwarding', () => forwarding.release())
    const text = rulesetText({
      table,
      interfacePrefix: sandboxes,
      gateway: subnet.gateway,
      subnet: subnet.network,
      allowed: allow.networksV4,
      apart: forwarding.apart,
    })
    this.#unwind.defer('table', () => deleteTable(table))
    await loadTable(text)
    this.#unwind.defer('interfaces', () => this.#removeInterfaces())
    await makeGateway(gateway, subnet.gateway)
    forwarding.turnOn()
    this.#sets = this.#own('sets', new TableSets(table))
    this.#route = this.#own('routing', new NetlinkSocket('route'))
    this.#connections = this.#own('connections', new NetlinkSocket('netfilter'))
    const resolver = new Resolver({
      address: subnet.gateway,
      ask: createUpstream(this.#nameServers()),
      allow,
      clock,
      logger,
      clientAt: (address) => this.#clientAt(address),
      mayAsk: this.#options.mayAsk,
    })
    this.#resolver = resolver
    this.#unwind.defer('resolver', () => resolver.close())
    await resolver.listen()
    // The first one proves that the kernel can do all of it.
    this.#ready.push(await this.#make())
  }

  #chooseSubnet(): Subnet {
    const { platform, platforms } = this.#options
    const routes = parseRoutes(readFileSync('/proc/thread-self/net/route', 'latin1'))
    const subnet = chooseSubnet(platform, platforms, routes)
    if (subnet === null) throw new Error('routes of this host take all of 198.18.0.0/15, where sandboxes have theirs')
    this.#subnet = subnet
    this.#free = [...subnet.addresses]
    return subnet
  }

  /** The host may move to another network while the platform runs: its settings are read again now and then. */
  #nameServers(): () => readonly string[] {
    const { nameServers, clock } = this.#options
    if (nameServers.length > 0) return () => nameServers
    let known: readonly string[] = []
    let readAtMs = Number.NEGATIVE_INFINITY
    return () => {
      if (clock.monotonicMs() - readAtMs < RESOLV_CONF_MS) return known
      readAtMs = clock.monotonicMs()
      known = parseNameServers(readFileSync('/etc/resolv.conf', 'utf8'))
      return known
    }
  }

  #clientAt(address: string) {
    const link = this.#links.get(address)
    if (link === undefined || link.rules === undefined) return null
    return {
      group: link.group,
      rules: link.rules,
      open: (...way: Parameters<SandboxLink['openWay']>) => link.openWay(...way),
      isPeer: (label: string) => this.#options.isPeer(link, label),
    }
  }

  async #make(): Promise<SandboxLink> {
    const number = this.#free.shift()
    if (number === undefined || this.#subnet === null || this.#sets === null || this.#route === null)
      throw new RuntimeError('CREATE_FAILED', 'all addresses of the sandboxes’ network are in use')
    const address = addressText(number)
    const index = (number - this.#subnet.addresses[0]!).toString(36)
    const interfaceName = `${this.#names.sandboxes}${index}`
    const namespacePath = join(this.#options.folder, index)
    try {
      // A killed platform forgot nothing: what its sandbox at this address began must open no way for this one.
      if (this.#connections !== null) forgetConnections(this.#connections, number)
      const indexes = await makeLink({ namespacePath, interfaceName, address, gateway: this.#subnet.gateway })
      const { allow, clock } = this.#options
      const nowMs = () => clock.monotonicMs()
      const parts = {
        namespacePath,
        interfaceName,
        address,
        indexes,
        sets: this.#sets,
        grants: this.#grants,
        route: this.#route,
        allow,
        nowMs,
      }
      const link = new SandboxLink(parts)
      this.#links.set(address, link)
      return link
    } catch (error) {
      await removeLink(namespacePath)
      this.#free.push(number)
      throw new RuntimeError('CREATE_FAILED', (error as Error).message, { cause: error })
    }
  }

  #refill(): void {
    if (this.#refilling || this.#closed || this.#ready.length >= READY_LINKS) return
    this.#refilling = true
    const work: Promise<void> = this.#make()
      .then(
        (link) => {
          this.#ready.push(link)
          this.#refilling = false
          this.#refill()
        },
        (error) => {
          this.#refilling = false
          this.#options.logger.warn({ error: String(error) }, 'a sandbox’s network was not made ahead')
        },
      )
      .finally(() => this.#work.delete(work))
    this.#work.add(work)
  }

  /** Those of sandboxes go with their namespaces, a moment after them. */
  async #removeInterfaces(): Promise<void> {
    const { gateway, sandboxes } = this.#names
    for (let poll = 0; poll < GONE_POLLS && interfacesWith(sandboxes).length > 0; poll++)
      await new Promise<void>((resolve) => this.#options.clock.after(GONE_POLL_MS, resolve))
    await removeInterfaces(interfacesWith(gateway))
  }

  #own<T extends { close(): void }>(name: string, part: T): T {
    this.#unwind.defer(name, () => part.close())
    return part
  }
}

/** Removes what a killed platform of this id left of its network; nothing to do when it left none. */
export async function sweepNetwork(platformId: string, folder: string, sharedFolder: string): Promise<void> {
  const { table, gateway } = networkNames(platformId)
  if (!existsSync(markFile(folder)) && interfacesWith(gateway).length === 0) return
  await removeInterfaces(interfacesWith(gateway))
  await deleteTable(table)
  keepForwarding(sharedFolder, platformId).release()
  await rm(folder, { recursive: true, force: true })
}

/** Says that there may be a network of this platform: the guard and the next start look for it. */
function markFile(folder: string): string {
  return join(folder, 'table')
}

async function loadTable(text: string): Promise<void> {
  const result = await run('nft', ['-f', '-'], { input: text })
  if (result.code !== 0) throw new Error(`nft: ${result.stderr.trim().slice(0, 400) || `code ${result.code}`}`)
}

/** One that is not there is fine. */
async function deleteTable(table: string): Promise<void> {
  await run('nft', ['delete', 'table', 'inet', table])
}
