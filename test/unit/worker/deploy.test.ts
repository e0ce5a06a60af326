import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { LimitCeiling } from '../../../runtime/api.ts'
import { RuntimeError } from '../../../runtime/errors.ts'
import type { DeployRequest, FunctionVersion } from '../../../worker/api.ts'
import { createDeployer } from '../../../worker/deploy.ts'
import type { Registry, RegistryChange } from '../../../worker/registry/api.ts'
import { RegistryError } from '../../../worker/registry/api.ts'
import type { Quotas } from '../../../worker/registry/quotas.ts'
import { SourceMaps } from '../../../worker/source-maps/source-maps.ts'
import { quotasInMemory } from '../../support/quota-book.ts'
import { realClock, silentLogger } from '../../support/real-clock.ts'
import { TestWorker } from '../../support/test-worker.ts'

/** As much of a registry as a deploy uses. */
class KeptVersions {
  versions: FunctionVersion[] = []
  latest: FunctionVersion | null = null
  alias: string | null = null
  away = false

  candidate(namespace: string, name: string, image: string, config: FunctionVersion['config']) {
    const known = this.versions.find((version) => version.image === image)
    if (known !== undefined) return { version: known, existed: true }
    const version = { namespace, name, image, config, version: this.versions.length + 1, createdAt: '' }
    return { version, existed: false }
  }

  async commit(version: FunctionVersion, alias: string | null): Promise<FunctionVersion> {
    if (this.away) throw new RegistryError('REGISTRY_UNAVAILABLE', 'Redis is away')
    if (!this.versions.includes(version)) this.versions.push(version)
    this.latest = version
    this.alias = alias
    this.changed({ namespace: version.namespace, name: version.name, newImages: [], unusedImages: [] })
    return version
  }

  resolve(_namespace: string, name: string, reference: string | null): FunctionVersion {
    if (name !== 'other') throw new RegistryError('FUNCTION_NOT_FOUND', `unknown function ${name}`)
    if (reference !== null) throw new RegistryError('VERSION_NOT_FOUND', `function other has no ${reference}`)
    return this.versions[0]!
  }

  list() {
    return [{ name: 'hello', versions: this.versions }]
  }

  images(): ReadonlySet<string> {
    return new Set(this.versions.map((version) => version.image))
  }

  hasImage(image: string): boolean {
    return this.images().has(image)
  }

  get(): { versions: FunctionVersion[]; aliases: Record<string, { weights: Record<string, number> }> } {
    const weights = { [String(this.latest?.version)]: 100 }
    return { versions: this.versions, aliases: { latest: { weights } } }
  }

  readonly #listeners = new Set<(change: RegistryChange | null) => void>()
  changed(change: RegistryChange | null): void {
    for (const listener of this.#listeners) listener(change)
  }

  onChange(listener: (change: RegistryChange | null) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

let host: TestWorker
let registry: KeptVersions
let deploy: (changes?: Partial<DeployRequest>) => Promise<{ version: FunctionVersion; created: boolean }>
let folder: string
let sourceMaps: SourceMaps
let ceilings: LimitCeiling[]
let quotas: Quotas
let expectRoom: () => void
beforeEach(() => {
  ceilings = []
  folder = mkdtempSync(join(tmpdir(), 'thaw-deploy-'))
  host = new TestWorker()
  registry = new KeptVersions()
  const { runtime, worker } = host
  sourceMaps = new SourceMaps({
    clock: realClock,
    logger: silentLogger,
    codeOf: (image: string) => runtime.images.get(image),
  })
  const parts = { runtime, worker, registry: registry as unknown as Registry, logger: silentLogger }
  quotas = quotasInMemory()
  const deployer = createDeployer({ ...parts, ceilings, sourceMaps, quotas })
  expectRoom = () => deployer.expectRoom()
  deploy = (changes = {}) =>
    deployer.deploy({
      namespace: 'default',
      name: 'hello',
      manifest: { entry: 'hello.ts', form: 'web', limits: { memory: '64m' } },
      source: Buffer.from('one'),
      sourceMap: null,
      addonTar: null,
      alias: null,
      ...changes,
    })
})
afterEach(async () => {
  await sourceMaps.close()
  await host.close()
  rmSync(folder, { recursive: true, force: true })
})

const failLoads = () => {
  host.runtime.onCreate = async (sandbox) => {
    sandbox.onLoad = async () => {
      const fault = { code: 'LOAD_FAILED' as const, message: 'no handler', stack: 'Error: no handler' }
      throw new RuntimeError('LOAD_FAILED', 'no handler', { fault })
    }
  }
}

describe('maxima of a function', () => {
  const asking = (manifest: object) => deploy({ manifest: { entry: 'hello.ts', ...manifest } })

  test('below its own limits are refused, all at once', async () => {
    const low = asking({ limits: { cpus: 2 }, maxLimits: { memory: '100m', pids: 64, cpus: 1 } })
    await expect(low).rejects.toThrow("maxLimits.memory: expected at least the function's own limit 128m, got 100m")
    await expect(low).rejects.toThrow("maxLimits.cpus: expected at least the function's own limit 2, got 1")
    expect(registry.versions).toEqual([])
  })

  test('are held against what it will have: a default that comes down to a ceiling is not in their way', async () => {
    const MEMORY = 64 * 1024 ** 2
    ceilings.push({ limit: 'memory', value: MEMORY, scope: 'namespace', source: 'FN_NAMESPACE_MAX_MEMORY' })
    const { version } = await asking({ maxLimits: { memory: '64m', memorySwap: '128m' } })
    expect(version.config.limits).toMatchObject({ memory: MEMORY, memorySwap: 2 * MEMORY })
    await expect(asking({ maxLimits: { memory: '32m' } })).rejects.toThrow("the function's own limit 64m, got 32m")
  })
})

describe('a deploy', () => {
  test('loads the version once, keeps it, moves latest and the alias, and leaves a warm sandbox', async () => {
    const result = await deploy({ alias: 'prod' })
    expect(result).toMatchObject({
      created: true,
      version: { version: 1, config: { limits: { memory: 64 * 1024 ** 2 } } },
    })
    expect(registry.latest).toBe(result.version)
    expect(registry.alias).toBe('prod')
    const seen = host.callNow(result.version)
    host.sandbox(0).call.respond()
    expect(seen.start).toBe('warm')
  })

  test('of the same content again moves latest back and loads nothing', async () => {
    const first = await deploy()
    await deploy({ source: Buffer.from('two') })
    const again = await deploy()
    expect(again).toEqual({ version: first.version, created: false })
    expect(registry.latest).toBe(first.version)
    expect(host.runtime.created).toHaveLength(2)
  })

  test('that does not load is not kept: latest stays, no image and no sandbox is left', async () => {
    const first = await deploy()
    failLoads()
    await expect(deploy({ source: Buffer.from('broken') })).rejects.toMatchObject({
      code: 'FUNCTION_INIT_FAILED',
      functionStack: 'Error: no handler',
    })
    expect(registry.latest).toBe(first.version)
    expect([...host.runtime.images.stored.keys()]).toEqual(['sha256:one'])
    expect(host.runtime.live).toHaveLength(1)
  })

  test('that the registry does not keep leaves no image and no sandbox', async () => {
    registry.away = true
    await expect(deploy()).rejects.toMatchObject({ code: 'REGISTRY_UNAVAILABLE' })
    expect(host.runtime.live).toEqual([])
    expect(host.runtime.images.stored.size).toBe(0)
  })

  test('says all that is wrong with the configuration, and what this host cannot enforce, before anything is stored', async () => {
    await expect(deploy({ manifest: { entry: 'x.ts', form: 'web', nonsense: 1 } })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    })
    host.runtime.onCheckLimits = (asked) => {
      if (asked.memory !== undefined) throw new RuntimeError('LIMIT_UNSUPPORTED', 'memory: no controller')
    }
    await expect(deploy()).rejects.toMatchObject({ code: 'LIMIT_UNSUPPORTED', message: 'memory: no controller' })
    await deploy({ manifest: { entry: 'hello.ts', form: 'web' } })
    expect(host.runtime.images.stored.size).toBe(1)
  })

  test('removes its temporary tar, whatever comes of it', async () => {
    for (const manifest of [{ entry: 'hello.ts', form: 'web' }, { nonsense: 1 }]) {
      const addonTar = join(folder, 'addon.tar')
      writeFileSync(addonTar, '')
      await deploy({ addonTar, manifest }).catch(() => undefined)
      expect(existsSync(addonTar)).toBe(false)
    }
  })

  test('waits for the one before it of the same function, not for those of others', async () => {
    const loads: (() => void)[] = []
    host.runtime.onCreate = async (sandbox) => {
      sandbox.onLoad = () => new Promise((resolve) => loads.push(resolve))
    }
    const first = deploy()
    const second = deploy({ source: Buffer.from('two') })
    const other = deploy({ name: 'other', source: Buffer.from('three') })
    await expect.poll(() => loads.length).toBe(2)
    for (const load of loads.splice(0)) load()
    await first
    await other
    await expect.poll(() => loads.length).toBe(1)
    loads[0]!()
    expect((await second).version.version).toBe(3)
    expect(host.runtime.images.stored.size).toBe(3)
  })

  test('costs no look at the images of others: what a version that went leaves unused is removed by name', async () => {
    await deploy()
    const prune = vi.spyOn(host.runtime.images, 'prune')
    await deploy({ source: Buffer.from('two') })
    registry.versions = registry.versions.filter(({ image }) => image !== 'sha256:one')
    registry.changed({ namespace: 'default', name: 'hello', newImages: [], unusedImages: ['sha256:one'] })
    await expect.poll(() => [...host.runtime.images.stored.keys()]).toEqual(['sha256:two'])
    expect(prune).not.toHaveBeenCalled()
  })

  test('beyond what its namespace may have of the disk is refused before it is loaded, and nothing of it stays', async () => {
    await quotas.set('default', { imagesBytes: 100 })
    await deploy({ source: Buffer.alloc(60, 'a') })
    const loaded = host.runtime.created.length
    await expect(deploy({ source: Buffer.alloc(60, 'b') })).rejects.toMatchObject({
      code: 'QUOTA_EXCEEDED',
      use: { namespace: 'default', quota: 'imagesBytes', bound: 100, inUse: 60 },
    })
    expect(host.runtime.created).toHaveLength(loaded)
    expect([...host.runtime.images.stored.keys()]).toEqual([`sha256:${'a'.repeat(60)}`])
    expect((await deploy({ source: Buffer.alloc(60, 'a') })).created).toBe(false)
  })

  test('is not taken where the disk has only what is kept for the platform', () => {
    expectRoom()
    host.runtime.images.left = 0
    expect(expectRoom).toThrow(expect.objectContaining({ code: 'DISK_FULL' }))
  })

  test('keeps the image of another deploy under way when it cleans up', async () => {
    let finish = () => {}
    host.runtime.onCreate = async (sandbox) => {
      sandbox.onLoad = (code) =>
        code.functionName === 'slow' ? new Promise((resolve) => (finish = resolve)) : Promise.resolve()
    }
    const slow = deploy({ name: 'slow', source: Buffer.from('slow') })
    await expect.poll(() => host.runtime.created.length).toBe(1)
    await deploy()
    expect(host.runtime.images.stored.has('sha256:slow')).toBe(true)
    finish()
    await slow
  })

  test('reports a bad add-on and a full disk as what they are', async () => {
    host.runtime.images.onPut = () => Promise.reject(new RuntimeError('IMAGE_INVALID', 'tar: ../x'))
    await expect(deploy()).rejects.toMatchObject({ name: 'WorkerError', code: 'DEPLOY_INVALID' })
    host.runtime.images.onPut = () => Promise.reject(new RuntimeError('DISK_FULL', 'no space'))
    await expect(deploy()).rejects.toMatchObject({ name: 'WorkerError', code: 'DISK_FULL' })
  })
})

describe('functions in onSuccess and onFailure', () => {
  const told = (to: Record<string, string>) => deploy({ manifest: { entry: 'hello.ts', form: 'web', ...to } })

  test.each([
    [{ onSuccess: 'nofn' }, /onSuccess: unknown function nofn; deploy that function first/],
    [{ onFailure: 'nofn' }, /onFailure: unknown function nofn/],
    [{ onSuccess: 'other@prod' }, /onSuccess: function other has no prod/],
    [{ onFailure: 'hello@prod' }, /onFailure: unknown function hello/],
  ])('%j: one that does not exist is refused before anything is kept', async (to, words) => {
    await expect(told(to)).rejects.toThrow(words)
    expect(registry.versions).toEqual([])
  })

  test('one that exists, the function itself, and a URL are taken', async () => {
    await told({ onSuccess: 'other', onFailure: 'hello' })
    await told({ onSuccess: 'https://example.com/done' })
  })
})
