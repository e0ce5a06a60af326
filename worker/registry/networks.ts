// Networks of namespaces by name: functions deployed onto one are on a bridge, know each other by name and call each other through
// the platform. A network is its name alone; who is on it is what the functions' configurations say.
import type { Clock } from '../../runtime/api.ts'
import { Additions } from './additions.ts'
import { type Registry, RegistryError } from './api.ts'
import type { Documents } from './documents.ts'
import { versionOf } from './entries.ts'
import { checkNamespace, isDnsLabel } from './names.ts'
import { isNetworkMode, networkNameOf } from './network-text.ts'
import type { Quotas } from './quotas.ts'
import { didYouMean } from './suggest.ts'

export interface StoredNetwork {
  readonly createdAt: string
}
export interface FunctionNetwork extends StoredNetwork {
  readonly namespace: string
  readonly name: string
}

/** Most networks of one namespace. */
export const MOST_NETWORKS = 100

export class FunctionNetworks {
  readonly #documents: Documents<StoredNetwork>
  readonly #clock: Clock
  readonly #quotas: Quotas | null
  readonly #additions = new Additions()

  /** `quotas`: counts refusals; null: a namespace may have any number. */
  constructor(documents: Documents<StoredNetwork>, clock: Clock, quotas: Quotas | null = null) {
    this.#documents = documents
    this.#clock = clock
    this.#quotas = quotas
  }

  /** Makes a network, or finds it. Throws RegistryError NAME_INVALID | REGISTRY_UNAVAILABLE, QuotaExceeded. */
  async create(
    namespace: string,
    name: string,
  ): Promise<{ readonly network: FunctionNetwork; readonly created: boolean }> {
    checkNamespace(namespace)
    checkNetworkName(name)
    const stored: StoredNetwork = { createdAt: new Date(this.#clock.now()).toISOString() }
    const key = `${namespace}/${name}`
    const expect = (pending: number) => {
      if (this.#documents.get(key) !== undefined) return
      this.#quotas?.expectFixed(namespace, 'networks', MOST_NETWORKS, this.count(namespace) + pending)
    }
    const created = await this.#additions.add(namespace, expect, () => this.#documents.put(key, stored, 'new'))
    return { network: created ? { namespace, name, ...stored } : this.get(namespace, name), created }
  }

  /** Namespaces that have some. */
  namespaces(): readonly string[] {
    return this.#documents.namespaces()
  }

  count(namespace: string): number {
    return this.#documents.names(namespace).size
  }

  /** At most `limit` after a name (null: from the first), in order. */
  page(namespace: string, after: string | null, limit: number): FunctionNetwork[] {
    return this.#documents
      .names(namespace)
      .after(after, limit)
      .map((name) => this.get(namespace, name))
  }

  has(namespace: string, name: string): boolean {
    return this.#documents.get(`${namespace}/${name}`) !== undefined
  }

  /** Throws RegistryError NETWORK_NOT_FOUND. */
  get(namespace: string, name: string): FunctionNetwork {
    const key = `${namespace}/${name}`
    const stored = this.#documents.get(key)
    if (stored !== undefined) return viewOf(key, stored)
    const near = didYouMean(name, this.#documents.names(namespace).near(name))
    throw new RegistryError('NETWORK_NOT_FOUND', `there is no network ${name.slice(0, 80)}${near}`)
  }

  /** `users`: the functions on it. Throws RegistryError NETWORK_NOT_FOUND | NETWORK_IN_USE | REGISTRY_UNAVAILABLE. */
  async remove(namespace: string, name: string, users: readonly string[]): Promise<void> {
    this.get(namespace, name)
    if (users.length > 0) {
      const message = `functions are on the network: ${users.join(', ')}; remove or redeploy them first`
      throw new RegistryError('NETWORK_IN_USE', message)
    }
    await this.#documents.remove(`${namespace}/${name}`)
  }
}

/** Functions with a version on the network. */
export function functionsOn(registry: Pick<Registry, 'users'>, namespace: string, network: string): string[] {
  return registry.users(namespace, 'network', network)
}

/** Whether a function is on the network for its peers: with every version that a call of its `latest` may get. */
export function isPeerOn(registry: Pick<Registry, 'get'>, namespace: string, network: string, name: string): boolean {
  try {
    const { versions, aliases } = registry.get(namespace, name)
    const called = Object.keys(aliases.latest?.weights ?? {}).flatMap(
      (number) => versionOf(versions, Number(number)) ?? [],
    )
    return called.length > 0 && called.every(({ config }) => networkNameOf(config.network) === network)
  } catch (error) {
    if (error instanceof RegistryError) return false
    throw error
  }
}

function checkNetworkName(name: string): void {
  if (isDnsLabel(name) && !isNetworkMode(name)) return
  const shown = JSON.stringify(name.slice(0, 80))
  throw new RegistryError(
    'NAME_INVALID',
    `network name ${shown}: expected a DNS label other than none, bridge and host`,
  )
}

function viewOf(key: string, stored: StoredNetwork): FunctionNetwork {
  const [namespace = '', name = ''] = key.split('/')
  return { namespace, name, ...stored }
}
