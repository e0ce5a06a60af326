// Makes a slot's sandbox: image, a stem or a creation, load. On failure nothing is left and the error is the caller's to report.
import { basename, extname } from 'node:path'
import {
  type Clock,
  type Code,
  type EgressRule,
  type Logger,
  parseEgressRule,
  type Runtime,
  RuntimeError,
  type Sandbox,
  type SandboxLog,
  type StoredImage,
  type VolumeMount,
} from '../../runtime/api.ts'
import type { FunctionConfig, FunctionVersion } from '../api.ts'
import { type CodeCaches, cacheBytesFor } from '../code-caches.ts'
import { messageOf } from '../failures.ts'
import { bootVariables } from '../registry/boot-variables.ts'
import { networkModeOf, networkOwner } from '../registry/network-text.ts'
import type { SourceMaps } from '../source-maps/source-maps.ts'
import { SourcePositions } from '../source-maps/source-positions.ts'
import type { Slot } from './slot.ts'
import type { Stems } from './stems.ts'

/** Values of the secrets a version names, by name. Throws an Error that names one that is not set. */
export type SecretsOf = (version: FunctionVersion) => Readonly<Record<string, string>>

export interface LaunchHost {
  readonly runtime: Runtime
  readonly clock: Clock
  readonly logger: Logger
  readonly stems: Pick<Stems, 'take'>
  readonly caches: CodeCaches
  readonly sourceMaps: SourceMaps
  readonly secretsOf?: SecretsOf
  readonly moved: (slot: Slot) => void
  readonly output: (slot: Slot, ...line: Parameters<SandboxLog>) => void
}

/** Takes the slot from `starting` through `stem` or not and `loading` to `idle`. Throws RuntimeError; the sandbox is then destroyed. */
export async function launchSandbox(slot: Slot, host: LaunchHost): Promise<void> {
  const { pool } = slot
  const image = await host.runtime.images.get(pool.version.image)
  const { image: digest, namespace } = pool.version
  const maps = image.sourceMap === null ? null : host.sourceMaps
  pool.positions ??= new SourcePositions(maps, { image: digest, namespace }, host.clock)
  if (image.layers.length > 0) pool.stemKind = null
  const stem = pool.stemKind === null ? null : host.stems.take(pool.stemKind)
  if (stem !== null && (await becomes(stem, slot, image, host))) return
  slot.origin = 'cold'
  const sandbox = await host.runtime.create({
    layers: image.layers,
    limits: pool.config.limits,
    network: networkModeOf(pool.config.network),
    writableRootBytes: pool.config.writableRootBytes,
    ...volumesOf(pool.version),
    bootEnv: bootVariables(pool.config.env),
  })
  await load(sandbox, slot, image, host)
}

/** Makes the stem the slot's sandbox. False when it would not do, and is destroyed: it had died, or its limits cannot be
 *  those of the function. Throws when the code does not load. */
async function becomes(stem: Sandbox, slot: Slot, image: StoredImage, host: LaunchHost): Promise<boolean> {
  try {
    slot.origin = 'stem'
    slot.move('stem')
    // ORDER: limits before anything of the function runs; the CPU quota comes after the load, as in every sandbox.
    const outcome = stem.applyLimits(slot.pool.config.limits)
    if (!outcome.applied) throw new Error(`${outcome.limit} ${outcome.asked} is below what it uses (${outcome.inUse})`)
    stem.thaw()
  } catch (error) {
    return abandon(stem, error, host)
  }
  try {
    await load(stem, slot, image, host)
    return true
  } catch (error) {
    // It may have died before the code came: a sandbox of its own tells whether it is the code's doing.
    if (!(error instanceof RuntimeError) || error.code !== 'SANDBOX_STOPPED') throw error
    slot.sandbox = null
    return abandon(stem, error, host)
  }
}

async function abandon(stem: Sandbox, error: unknown, host: LaunchHost): Promise<false> {
  host.logger.info({ sandbox: stem.id, error: messageOf(error) }, 'a stem could not be used')
  await stem.destroy().catch(() => undefined)
  return false
}

async function load(sandbox: Sandbox, slot: Slot, image: StoredImage, host: LaunchHost): Promise<void> {
  const { version, config } = slot.pool
  slot.sandbox = sandbox
  slot.compute(true)
  slot.createdAtMs = host.clock.monotonicMs()
  if (slot.state !== 'loading') slot.move('loading')
  host.moved(slot)
  try {
    if (networkModeOf(config.network) === 'bridge')
      host.runtime.networks?.allow(sandbox.id, egressRulesOf(config), networkOwner(version))
    const code = withSecrets(codeOf(version, image.source, await cacheOf(slot, image, host)), version, host)
    await sandbox.load(code, config.initTimeoutMs, (...line) => host.output(slot, ...line))
    if (sandbox.state === 'stopped') {
      const { fault } = await sandbox.stopped
      throw new RuntimeError('SANDBOX_STOPPED', `the sandbox ended after loading: ${fault.message}`, { fault })
    }
  } catch (error) {
    await sandbox.destroy().catch(() => undefined)
    throw error
  }
  slot.loadedAtMs = host.clock.monotonicMs()
  slot.move('idle')
}

/** Null: every public address. */
function egressRulesOf({ allowHosts }: FunctionConfig): readonly EgressRule[] | null {
  return allowHosts === undefined ? null : allowHosts.map(parseEgressRule)
}

/** The version's code cache; when there is none yet, the slot may be asked for one once it has run a call. */
async function cacheOf({ pool }: Slot, image: StoredImage, host: LaunchHost): Promise<Buffer | null> {
  const maxBytes = cacheBytesFor(image.source.length)
  const cache = maxBytes === 0 ? null : await host.caches.get(pool.version)
  pool.cacheBytes = cache === null ? maxBytes : 0
  return cache
}

/** Secrets are asked for at each launch, so that a new value needs no deploy, and kept by nobody here. */
function withSecrets(code: Code, version: FunctionVersion, host: LaunchHost): Code {
  if (host.secretsOf === undefined || (version.config.secrets?.length ?? 0) === 0) return code
  return { ...code, env: { ...code.env, ...host.secretsOf(version) } }
}

/** Named volumes are those of the version's namespace. */
function volumesOf({ namespace, config }: FunctionVersion): { volumes?: VolumeMount[] } {
  if (config.volumes === undefined || config.volumes.length === 0) return {}
  const volumes = config.volumes.map((volume): VolumeMount => {
    if (volume.kind !== 'named') return volume
    const { kind, name, path, readOnly } = volume
    return { kind, id: `${namespace}/${name}`, path, readOnly }
  })
  return { volumes }
}

/** What the sandbox runs. The bundle is named after the entry, `api/index.ts` → `index.js`, as stack traces show it. */
export function codeOf(version: FunctionVersion, source: Buffer, cache: Buffer | null = null): Code {
  const { config } = version
  return {
    source,
    cache,
    fileName: `${basename(config.entry, extname(config.entry)) || 'index'}.js`,
    form: config.form,
    env: config.env,
    functionName: version.name,
    version: String(version.version),
    group: version.namespace,
    ...(config.leftovers === undefined ? {} : { leftovers: config.leftovers }),
  }
}
