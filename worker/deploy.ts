// Deploys: configuration, image, one load in a sandbox, registry; in this order, so that a broken deploy never replaces a
// working version. One at a time per function.
import { rm } from 'node:fs/promises'
import {
  applyCeilings,
  type LimitCeiling,
  LimitError,
  type Logger,
  parseEgressRule,
  parseLimits,
  type Runtime,
  RuntimeError,
  Turns,
} from '../runtime/api.ts'
import type { Deployer, DeployRequest, DeployResult, FunctionConfig, FunctionVersion, Worker } from './api.ts'
import { WorkerError } from './api.ts'
import { messageOf } from './failures.ts'
import { type Registry, RegistryError } from './registry/api.ts'
import { expectMaxima, parseFunctionConfig } from './registry/config.ts'
import { fateIn } from './registry/deployed.ts'
import { parseDestination } from './registry/destinations.ts'
import { ImageQuota } from './registry/image-quota.ts'
import { networkModeOf, networkNameOf } from './registry/network-text.ts'
import type { Quotas } from './registry/quotas.ts'
import { SourceMapError } from './source-maps/map-bounds.ts'
import type { SourceMaps } from './source-maps/source-maps.ts'

export interface DeployerOptions {
  readonly runtime: Runtime
  readonly worker: Worker
  readonly registry: Registry
  readonly logger: Logger
  readonly sourceMaps: Pick<SourceMaps, 'check'>
  /** What namespaces may have of the disk; default any. */
  readonly quotas?: Quotas
  /** Highest limits of namespaces and host; default none. */
  readonly ceilings?: readonly LimitCeiling[]
  /** Whether a secret is set; default: none is. */
  readonly hasSecret?: (namespace: string, name: string) => boolean
  /** Whether there is a network of that name; default: there is none. */
  readonly hasNetwork?: (namespace: string, name: string) => boolean
}

export function createDeployer(options: DeployerOptions): Deployer {
  return new HostDeployer(options)
}

class HostDeployer implements Deployer {
  readonly #options: DeployerOptions
  /** The last deploy of each function, and the last use of the image store. */
  readonly #turns = new Turns()
  /** Images of deploys under way: the registry does not know them yet. */
  readonly #images = new Map<string, number>()
  readonly #candidates = new Set<FunctionVersion>()
  readonly #imageQuota: ImageQuota
  /** What a killed process left was cleared away. */
  #isPruned = false

  constructor(options: DeployerOptions) {
    this.#options = options
    const { registry, runtime, quotas = null } = options
    this.#imageQuota = new ImageQuota({ registry, images: runtime.images, quotas })
    options.registry.onChange((change) => {
      if (change === null) this.#isPruned = false
      else if (change.unusedImages.length > 0) void this.#discard(change.unusedImages)
    })
  }

  async deploy(request: DeployRequest): Promise<DeployResult> {
    try {
      return await this.#turns.take(`${request.namespace}/${request.name}`, () => this.#deploy(request))
    } catch (error) {
      throw asWorkerError(error)
    } finally {
      if (request.addonTar !== null) await rm(request.addonTar, { force: true })
    }
  }

  expectRoom(): void {
    if (this.#options.runtime.images.leftBytes() <= 0)
      throw new WorkerError(
        'DISK_FULL',
        "no room to take an upload: what is free of the state directory's disk is kept",
      )
  }

  isDeploying(version: { namespace: string; name: string; version: number }): boolean {
    for (const candidate of this.#candidates) if (isSame(version, candidate)) return true
    return false
  }

  async #deploy(request: DeployRequest): Promise<DeployResult> {
    const { registry } = this.#options
    const config = this.#configOf(request)
    await this.#expectParts(request.namespace, config)
    this.#expectDestinations(request, config)
    await this.#expectMap(request)
    const image = await this.#put(request, config)
    let held: { release(): void } | null = null
    try {
      held = this.#imageQuota.hold(request.namespace, image)
      const { version, existed } = registry.candidate(request.namespace, request.name, image, config)
      if (existed) return { version: await registry.commit(version, request.alias), created: false }
      return { version: await this.#keep(version, request.alias), created: true }
    } finally {
      held?.release()
      this.#letGo(image)
      // A broken version leaves nothing behind.
      await this.#discard([image])
    }
  }

  /** Loads the version once, then makes it known; its sandboxes go when that fails. */
  async #keep(version: FunctionVersion, alias: string | null): Promise<FunctionVersion> {
    const { worker, registry } = this.#options
    this.#candidates.add(version)
    try {
      await worker.verify(version)
      return await registry.commit(version, alias)
    } catch (error) {
      await worker.retire((other) => {
        if (isSame(other, version)) return 'gone'
        return this.isDeploying(other) ? 'kept' : fateIn(registry, other)
      }, version)
      throw error
    } finally {
      this.#candidates.delete(version)
    }
  }

  /** The configuration as it will be kept: under the ceilings, and nothing asked for that this host cannot enforce. */
  #configOf({ manifest, name }: DeployRequest): FunctionConfig {
    const config = parseFunctionConfig(manifest, name)
    const own = parseLimits((manifest as { limits?: Record<string, unknown> }).limits ?? {})
    const limits = applyCeilings(config.limits, own, config.maxLimits, this.#options.ceilings ?? [])
    expectMaxima(limits, config.maxLimits)
    this.#options.runtime.checkLimits({ ...config.maxLimits, ...own }, limits)
    return { ...config, limits }
  }

  /** A map that could not be used later is refused now. Throws WorkerError DEPLOY_INVALID. */
  async #expectMap({ source, sourceMap, namespace }: DeployRequest): Promise<void> {
    if (sourceMap === null) return
    try {
      await this.#options.sourceMaps.check(sourceMap, source.length, namespace)
    } catch (error) {
      if (!(error instanceof SourceMapError)) throw error
      throw new WorkerError('DEPLOY_INVALID', `index.cjs.map: ${error.message}`, { cause: error })
    }
  }

  /** What the configuration names has to be there. Throws WorkerError DEPLOY_INVALID with the way out. */
  async #expectParts(namespace: string, config: FunctionConfig): Promise<void> {
    const { volumes = [], secrets = [], network, allowHosts } = config
    const { hasSecret = () => false, hasNetwork = () => false, runtime } = this.#options
    const networkName = networkNameOf(network)
    if (networkName !== null && !hasNetwork(namespace, networkName))
      throw missing(`there is no network ${networkName}`, namespace, `fn network create ${networkName}`)
    await runtime.networks?.check(networkModeOf(network), allowHosts?.map(parseEgressRule) ?? null)
    for (const name of secrets) {
      if (!hasSecret(namespace, name)) throw missing(`secret ${name} is not set`, namespace, `fn secret set ${name}`)
    }
    for (const volume of volumes) {
      if (volume.kind === 'bind') await runtime.volumes.checkBind(volume.source, volume.readOnly)
      else if (volume.kind === 'named' && (await runtime.volumes.get(`${namespace}/${volume.name}`)) === null)
        throw missing(`there is no volume ${volume.name}`, namespace, `fn volume create ${volume.name}`)
    }
  }

  /** Functions in `onSuccess` and `onFailure` have to exist; the function itself may be among them. Throws WorkerError DEPLOY_INVALID. */
  #expectDestinations({ namespace, name }: DeployRequest, config: FunctionConfig): void {
    for (const key of ['onSuccess', 'onFailure'] as const) {
      const text = config[key]
      const to = text === undefined ? null : parseDestination(text)
      if (to?.kind !== 'function' || (to.name === name && to.reference === null)) continue
      try {
        this.#options.registry.resolve(namespace, to.name, to.reference, 0)
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error
        const fault = `${key}: ${error.message}`
        throw new WorkerError('DEPLOY_INVALID', `${fault}; deploy that function first`, { cause: error })
      }
    }
  }

  async #put(request: DeployRequest, config: FunctionConfig): Promise<string> {
    const { source, sourceMap, addonTar } = request
    return this.#turns.take('', async () => {
      const { digest } = await this.#options.runtime.images.put({ source, sourceMap, addonTar, config })
      this.#images.set(digest, (this.#images.get(digest) ?? 0) + 1)
      return digest
    })
  }

  #letGo(image: string): void {
    const uses = (this.#images.get(image) ?? 1) - 1
    if (uses === 0) this.#images.delete(image)
    else this.#images.set(image, uses)
  }

  /** Forgets images that neither the registry nor a deploy under way uses; before the first, all such that are there. Never
   *  while a `put` runs, never throws. */
  #discard(images: readonly string[]): Promise<void> {
    return this.#turns.take('', async () => {
      const { registry, runtime, logger } = this.#options
      try {
        if (this.#isPruned) {
          const unused = images.filter((image) => !registry.hasImage(image) && !this.#images.has(image))
          if (unused.length > 0) await runtime.images.remove(unused)
          return
        }
        await runtime.images.prune(new Set([...registry.images(), ...this.#images.keys()]))
        this.#isPruned = true
      } catch (error) {
        logger.warn({ error: messageOf(error) }, 'unused images could not be removed')
      }
    })
  }
}

function missing(what: string, namespace: string, remedy: string): WorkerError {
  const where = namespace === 'default' ? '' : ` --namespace ${namespace}`
  return new WorkerError('DEPLOY_INVALID', `${what} in namespace ${namespace}; make it with: ${remedy}${where}`)
}

function isSame(one: { namespace: string; name: string; version: number }, other: FunctionVersion): boolean {
  return one.namespace === other.namespace && one.name === other.name && one.version === other.version
}

/** Errors of runtime/ in the words of worker/api.ts; RegistryErrors and WorkerErrors stay what they are. */
function asWorkerError(error: unknown): unknown {
  if (error instanceof LimitError) return new WorkerError('DEPLOY_INVALID', error.message, { cause: error })
  if (!(error instanceof RuntimeError)) return error
  const { message } = error
  if (error.code === 'LIMIT_UNSUPPORTED' || error.code === 'NETWORK_UNAVAILABLE')
    return new WorkerError('LIMIT_UNSUPPORTED', message, { cause: error })
  if (error.code === 'DISK_FULL') return new WorkerError('DISK_FULL', message, { cause: error })
  if (error.code === 'NETWORK_REFUSED') return new WorkerError('DEPLOY_INVALID', message, { cause: error })
  if (error.code === 'IMAGE_INVALID' || error.code === 'VOLUME_INVALID')
    return new WorkerError('DEPLOY_INVALID', message, { cause: error })
  return new WorkerError('SANDBOX_CREATE_FAILED', message, { cause: error })
}
