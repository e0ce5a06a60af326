// The kinds of network a sandbox can have (`none`, `bridge`, `host`), and the platform's one bridge, opened when first wanted.
// What layers above may ask of networks is `Networks` in runtime/api.ts, implemented here.
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LimitSupport } from '../api.ts'
import { RuntimeError } from '../errors.ts'
import { addressText, isPublicAddress, networkRange } from './addresses.ts'
import type { NetworkMode, Networks } from './api.ts'
import { type EgressRule, egressRuleText } from './egress-rules.ts'
import { missingForNetwork, type NetworkOptions, SandboxNetwork } from './network.ts'
import type { SandboxLink } from './sandbox-link.ts'

/** The layers with name server settings lie below `folder`, too. */
export interface NetworksOptions extends Omit<NetworkOptions, 'isPeer' | 'mayAsk'> {
  /** Whether functions may have the host's own network. */
  readonly hostNetwork: boolean
}

/** Networks as the rest of runtime/ uses them. */
export interface HostNetworks extends Networks {
  /** A link for a sandbox; opens the bridge. Throws RuntimeError `NETWORK_UNAVAILABLE` | `CREATE_FAILED`. */
  link(sandboxId: string): Promise<SandboxLink>
  giveBack(sandboxId: string): Promise<void>
  /** What sandboxes can have here, as far as is known now. */
  support(): Readonly<Record<NetworkMode, LimitSupport>>
  /** Folder of the layer that says whom a sandbox of this kind asks for names; null: none is needed. */
  layer(mode: NetworkMode): string | null
  close(): Promise<void>
}

export function createNetworks(options: NetworksOptions): HostNetworks {
  return new PlatformNetworks(options)
}

class PlatformNetworks implements HostNetworks {
  readonly #options: NetworksOptions
  readonly #links = new Map<string, SandboxLink>()
  readonly #owners = new Map<SandboxLink, { readonly id: string; readonly owner: string }>()
  readonly #listeners: ((address: string) => void)[] = []
  #opening: Promise<SandboxNetwork> | null = null
  #network: SandboxNetwork | null = null
  /** Why it could not be opened the last time. */
  #failure: string | null = null
  #isPeer: Parameters<Networks['answerPeers']>[0] = () => false
  #names: Parameters<Networks['shareNames']>[0] = { groupOf: (owner) => owner, mayAsk: () => true }

  constructor(options: NetworksOptions) {
    this.#options = options
  }

  get hostAllowed(): boolean {
    return this.#options.hostNetwork
  }

  get missing(): string | null {
    return missingForNetwork()
  }

  async check(mode: NetworkMode, rules: readonly EgressRule[] | null): Promise<void> {
    if (mode === 'host' && !this.#options.hostNetwork) {
      const message =
        'network host gives a function the host’s own network and is off; an administrator allows it: fn up --host-network (FN_HOST_NETWORK=1)'
      throw new RuntimeError('NETWORK_REFUSED', message)
    }
    if (mode !== 'bridge') return
    const refused = (rules ?? []).find((rule) => rule.kind === 'network' && !this.#isAllowed(rule.network))
    if (refused !== undefined) {
      const name = egressRuleText(refused)
      const network = refused.kind === 'network' ? refused.network : ''
      const message = `allowHosts: ${name} is not a public address; an administrator allows it: fn up --egress-allow ${network} (FN_EGRESS_ALLOW)`
      throw new RuntimeError('NETWORK_REFUSED', message)
    }
    await this.#open()
  }

  allow(sandboxId: string, rules: readonly EgressRule[] | null, owner: string): void {
    const link = this.#links.get(sandboxId)
    if (link === undefined) return
    link.open(rules, this.#names.groupOf(owner))
    this.#owners.set(link, { id: sandboxId, owner })
  }

  sandboxAt(address: string): { readonly id: string; readonly owner: string } | null {
    const link = this.#network?.linkAt(address)
    return link == null ? null : (this.#owners.get(link) ?? null)
  }

  answerPeers(isPeer: Parameters<Networks['answerPeers']>[0]): void {
    this.#isPeer = isPeer
  }

  shareNames(names: Parameters<Networks['shareNames']>[0]): void {
    this.#names = names
  }

  onOpen(listener: (address: string) => void): void {
    this.#listeners.push(listener)
    if (this.#network !== null) listener(this.#network.gateway)
  }

  async link(sandboxId: string): Promise<SandboxLink> {
    const link = await (await this.#open()).take()
    this.#links.set(sandboxId, link)
    return link
  }

  async giveBack(sandboxId: string): Promise<void> {
    const link = this.#links.get(sandboxId)
    if (link === undefined) return
    this.#links.delete(sandboxId)
    this.#owners.delete(link)
    await this.#network?.giveBack(link)
  }

  layer(mode: NetworkMode): string | null {
    if (mode === 'none') return null
    const folder = join(this.#options.folder, `layer-${mode}`)
    if (mode === 'host') {
      makeLayer(folder, (path) => copyFileSync('/etc/resolv.conf', path))
      return folder
    }
    const address = this.#network?.gateway ?? ''
    makeLayer(folder, (path) => writeFileSync(path, `nameserver ${address}\noptions timeout:3 attempts:2\n`))
    return folder
  }

  support(): Readonly<Record<NetworkMode, LimitSupport>> {
    const missing = missingForNetwork()
    const reason = missing === null ? this.#failure : 'a program is missing'
    const bridge: LimitSupport = { enforced: true, how: 'a link of its own, filtered by nftables' }
    const noBridge = {
      enforced: false,
      how: reason ?? '',
      fix: missing ?? 'see docs/networks.md, "What the host needs"',
    }
    const host: LimitSupport = this.#options.hostNetwork
      ? { enforced: true, how: 'the interfaces of the host, not filtered' }
      : { enforced: false, how: 'off', fix: 'fn up --host-network (FN_HOST_NETWORK=1)' }
    return {
      none: { enforced: true, how: 'a loopback of its own, nothing else' },
      bridge: reason === null ? bridge : noBridge,
      host,
    }
  }

  async close(): Promise<void> {
    const opening = this.#opening
    if (opening === null) return
    const network = await opening.catch(() => null)
    await network?.close()
  }

  #open(): Promise<SandboxNetwork> {
    this.#opening ??= SandboxNetwork.open({
      ...this.#options,
      isPeer: (link, label) => {
        const owner = this.#owners.get(link)
        return owner !== undefined && this.#isPeer(owner.owner, label)
      },
      mayAsk: (group, count) => this.#names.mayAsk(group, count),
    }).then(
      (network) => {
        this.#network = network
        this.#failure = null
        for (const listener of this.#listeners) listener(network.gateway)
        return network
      },
      (error) => {
        this.#opening = null // what is missing may come
        this.#failure = (error as Error).message
        throw error
      },
    )
    return this.#opening
  }

  /** A network is public when both its ends are: no special range lies within one that is not larger than it. */
  #isAllowed(network: string): boolean {
    const { first, last } = networkRange(network)
    const [from, to] = [addressText(first), addressText(last)]
    if (this.#options.allow.networks.check(from, 'ipv4') && this.#options.allow.networks.check(to, 'ipv4')) return true
    return isPublicAddress(from, 4) && isPublicAddress(to, 4)
  }
}

function makeLayer(folder: string, writeSettings: (path: string) => void): void {
  const etc = join(folder, 'etc')
  mkdirSync(etc, { recursive: true })
  for (const path of [folder, etc]) chmodSync(path, 0o755)
  const file = join(etc, 'resolv.conf')
  writeSettings(file)
  chmodSync(file, 0o644)
}
