// The registry on a real Redis: what is committed is there for every process, after every restart, and without Redis for reads.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Registry } from '../../worker/registry/api.ts'
import { createRegistry } from '../../worker/registry/registry.ts'
import { connectRedis, type RedisStore } from '../../worker/store/connect.ts'
import { eventually, realClock, silentLogger, startTestRedis, type TestRedis } from '../support/redis.ts'
import { sampleConfig, versionOf } from '../support/samples.ts'

let server: TestRedis
let open: { close(): Promise<void> }[]
let annotations: Map<string, string>
let stateDir: string

beforeEach(async () => {
  server = await startTestRedis()
  open = []
  annotations = new Map()
  stateDir = mkdtempSync(join(tmpdir(), 'thaw-registry-'))
})
afterEach(async () => {
  for (const part of open.reverse()) await part.close().catch(() => {})
  await server.close()
  rmSync(stateDir, { recursive: true, force: true })
})

const images = {
  readAnnotation: async (key: string) => annotations.get(key) ?? null,
  forgetAnnotation: async (key: string) => void annotations.delete(key),
}

async function openRegistry(
  options: { backlog?: () => Promise<number>; startWaitMs?: number; socketPath?: string; own?: string } = {},
): Promise<{ registry: Registry; redis: RedisStore }> {
  const { socketPath = server.socketPath, own = String(open.length), ...rest } = options
  // Each process has a state directory of its own, unless a test says that it is another start of the same.
  const copyDir = join(stateDir, own)
  mkdirSync(copyDir, { recursive: true })
  const redis = connectRedis({ socketPath }, silentLogger)
  open.push(redis)
  const registry = await createRegistry({
    redis,
    copy: { stateDir: copyDir, images },
    logger: silentLogger,
    clock: realClock,
    ...rest,
  })
  open.push(registry)
  return { registry, redis }
}

async function deploy(registry: Registry, name: string, image: string, alias: string | null = null) {
  const { version, existed } = registry.candidate('default', name, image, sampleConfig(name))
  return { existed, kept: await registry.commit(version, alias) }
}

describe('versions', () => {
  test('new content is the next version, and latest moves to it', async () => {
    const { registry } = await openRegistry()
    expect((await deploy(registry, 'hello', 'sha256:a')).kept.version).toBe(1)
    expect((await deploy(registry, 'hello', 'sha256:b')).kept.version).toBe(2)
    expect(registry.resolve('default', 'hello', null, 0).version).toBe(2)
    expect(registry.resolve('default', 'hello', '1', 0).image).toBe('sha256:a')
    expect(registry.images()).toEqual(new Set(['sha256:a', 'sha256:b']))
  })

  test('the same content again is the same version, and latest moves back to it', async () => {
    const { registry } = await openRegistry()
    await deploy(registry, 'hello', 'sha256:a')
    await deploy(registry, 'hello', 'sha256:b')
    const again = await deploy(registry, 'hello', 'sha256:a')
    expect(again).toMatchObject({ existed: true, kept: { version: 1 } })
    expect(registry.resolve('default', 'hello', null, 0).version).toBe(1)
    expect(registry.get('default', 'hello').versions.length).toBe(2)
  })

  test('a candidate that is not committed leaves nothing behind', async () => {
    const { registry } = await openRegistry()
    await deploy(registry, 'hello', 'sha256:a')
    registry.candidate('default', 'hello', 'sha256:broken', sampleConfig('hello'))
    expect(registry.get('default', 'hello').versions.map((version) => version.image)).toEqual(['sha256:a'])
    expect((await deploy(registry, 'hello', 'sha256:b')).kept.version).toBe(2)
  })

  test('two processes that commit at once get two numbers', async () => {
    const [{ registry: one }, { registry: two }] = await Promise.all([openRegistry(), openRegistry()])
    const commits = await Promise.all([deploy(one, 'hello', 'sha256:a'), deploy(two, 'hello', 'sha256:b')])
    expect(commits.map((commit) => commit.kept.version).sort()).toEqual([1, 2])
    await eventually('both know both', () =>
      [one, two].every((registry) => registry.get('default', 'hello').versions.length === 2),
    )
  })

  test('a removed function is unknown, and its numbers are not used again', async () => {
    const { registry } = await openRegistry()
    await deploy(registry, 'hello', 'sha256:a')
    await registry.removeFunction('default', 'hello')
    expect(registry.list('default')).toEqual([])
    expect(() => registry.resolve('default', 'hello', null, 0)).toThrow(
      expect.objectContaining({ code: 'FUNCTION_NOT_FOUND' }),
    )
    expect((await deploy(registry, 'hello', 'sha256:a')).kept.version).toBe(2)
  })

  test('a function with queued calls cannot be removed', async () => {
    const { registry } = await openRegistry({ backlog: async () => 3 })
    await deploy(registry, 'hello', 'sha256:a')
    await expect(registry.removeFunction('default', 'hello')).rejects.toMatchObject({ code: 'VERSION_IN_USE' })
  })
})

describe('aliases', () => {
  test('weights split the draws exactly', async () => {
    const { registry } = await openRegistry()
    for (const image of ['a', 'b', 'c']) await deploy(registry, 'hello', `sha256:${image}`)
    await registry.setAlias('default', 'hello', 'prod', { weights: { 3: 10, 1: 90, 2: 0 } })
    const picked = (draw: number) => registry.resolve('default', 'hello', 'prod', draw).version
    expect([0, 0.5, 0.8999, 0.9, 0.9999].map(picked)).toEqual([1, 1, 1, 3, 3])
    expect(registry.get('default', 'hello').aliases.prod).toEqual({ weights: { 1: 90, 3: 10 } })
  })

  test('a deploy moves the alias it names', async () => {
    const { registry } = await openRegistry()
    await deploy(registry, 'hello', 'sha256:a', 'prod')
    await deploy(registry, 'hello', 'sha256:b')
    expect(registry.resolve('default', 'hello', 'prod', 0).version).toBe(1)
  })

  test.each([
    [{ 1: 90 }, 'add up to 90'],
    [{ 1: 50.5, 2: 49.5 }, 'whole percentage'],
    [{ 9: 100 }, 'no version "9"'],
    [{ latest: 100 }, 'no version "latest"'],
    [{}, 'add up to 0'],
  ])('weights %j are refused', async (weights, message) => {
    const { registry } = await openRegistry()
    await deploy(registry, 'hello', 'sha256:a')
    await deploy(registry, 'hello', 'sha256:b')
    await expect(registry.setAlias('default', 'hello', 'prod', { weights })).rejects.toMatchObject({
      code: 'ALIAS_INVALID',
      message: expect.stringContaining(message),
    })
  })

  test('latest stays, unknown ones are not found, numbers are no names', async () => {
    const { registry } = await openRegistry()
    await deploy(registry, 'hello', 'sha256:a', 'prod')
    await expect(registry.removeAlias('default', 'hello', 'latest')).rejects.toMatchObject({ code: 'ALIAS_INVALID' })
    await expect(registry.removeAlias('default', 'hello', 'prd')).rejects.toMatchObject({
      code: 'ALIAS_NOT_FOUND',
      message: expect.stringContaining('did you mean prod?'),
    })
    const target = { weights: { 1: 100 } }
    await expect(registry.setAlias('default', 'hello', '7', target)).rejects.toMatchObject({ code: 'NAME_INVALID' })
    await registry.removeAlias('default', 'hello', 'prod')
    expect(() => registry.resolve('default', 'hello', 'prod', 0)).toThrow(
      expect.objectContaining({ code: 'VERSION_NOT_FOUND' }),
    )
  })
})

describe('names', () => {
  test('a mistyped one gets a suggestion', async () => {
    const { registry } = await openRegistry()
    await deploy(registry, 'hello', 'sha256:a')
    expect(() => registry.get('default', 'helo')).toThrow('unknown function helo; did you mean hello?')
    expect(() => registry.get('other', 'hello')).toThrow(/^unknown function hello$/)
  })

  test.each(['Hello', '-a', 'a-', 'a.b', '', 'a'.repeat(64), 'thaw', 'h_i'])('%j is refused', async (name) => {
    const { registry } = await openRegistry()
    expect(() => registry.candidate('default', name, 'sha256:a', sampleConfig('x'))).toThrow(
      expect.objectContaining({ code: 'NAME_INVALID' }),
    )
  })
})

describe('news and restarts', () => {
  test('a change made by one process is known to the other', async () => {
    const [{ registry: one }, { registry: two }] = await Promise.all([openRegistry(), openRegistry()])
    let told = 0
    two.onChange(() => told++)
    await deploy(one, 'hello', 'sha256:a')
    await eventually('the other knows it', () => two.list('default').length === 1)
    expect(told).toBeGreaterThan(0)
  })

  test('a change missed while the connection was broken is found when it is back', async () => {
    const [{ registry: one, redis }, { registry: two }] = await Promise.all([openRegistry(), openRegistry()])
    server.kill()
    await eventually('redis is away', () => !redis.available())
    await eventually('the change is taken', () => deploy(one, 'hello', 'sha256:a').catch(() => null))
    await eventually('the other knows it', () => two.list('default').length === 1)
  })

  test('everything is there after a restart', async () => {
    const { registry } = await openRegistry()
    await deploy(registry, 'hello', 'sha256:a', 'prod')
    const entry = registry.get('default', 'hello')
    server.kill()
    const { registry: again } = await openRegistry()
    await eventually('it is read', () => again.list('default').length === 1)
    expect(again.get('default', 'hello')).toEqual(entry)
  })
})

describe('the copy beside the images', () => {
  test('lets a registry start read-only while Redis is away', async () => {
    const { registry } = await openRegistry({ own: 'one' })
    await deploy(registry, 'hello', 'sha256:a')
    const { registry: lonely } = await openRegistry({
      own: 'one',
      socketPath: `${server.socketPath}.none`,
      startWaitMs: 20,
    })
    expect(lonely.resolve('default', 'hello', null, 0).image).toBe('sha256:a')
    await expect(deploy(lonely, 'hello', 'sha256:b')).rejects.toMatchObject({ code: 'REGISTRY_UNAVAILABLE' })
    expect(lonely.resolve('default', 'hello', null, 0).image).toBe('sha256:a')
  })

  test('fills a Redis that lost everything, numbers included', async () => {
    const { registry, redis } = await openRegistry({ own: 'one' })
    await deploy(registry, 'hello', 'sha256:a', 'prod')
    await deploy(registry, 'gone', 'sha256:x')
    await registry.removeFunction('default', 'gone')
    const before = registry.list('default')
    await redis.command('FLUSHALL')
    const { registry: again } = await openRegistry({ own: 'one' })
    expect(again.list('default')).toEqual(before)
    expect((await deploy(again, 'gone', 'sha256:y')).kept.version).toBe(2)
    expect((await deploy(again, 'hello', 'sha256:b')).kept.version).toBe(2)
  })

  test('that is damaged is as good as none', async () => {
    mkdirSync(join(stateDir, 'one'))
    writeFileSync(join(stateDir, 'one', 'registry.json'), '{"epoch": 3, "documents"')
    const { registry } = await openRegistry({ own: 'one' })
    expect(registry.list('default')).toEqual([])
    expect((await deploy(registry, 'hello', 'sha256:a')).kept.version).toBe(1)
  })
})

describe('what the release before left', () => {
  /** A function with all its versions in one text, as it was kept. */
  const old = (name: string, images: readonly string[]) => ({
    namespace: 'default',
    name,
    createdAt: '2030-01-01T00:00:00.000Z',
    updatedAt: '2030-01-01T00:00:00.000Z',
    lastVersion: images.length,
    removed: false,
    versions: images.map((image, index) => ({ ...versionOf(name), version: index + 1, image })),
    aliases: { latest: { weights: { [images.length]: 100 } } },
  })

  test('in Redis is read, and put apart by the next change', async () => {
    const { redis } = await openRegistry()
    const { versions, ...rest } = old('hello', ['sha256:a', 'sha256:b'])
    await redis.command('HSET', '{thaw}:registry', 'default/hello', JSON.stringify({ ...rest, versions }))
    await redis.command('HSET', '{thaw}:registry:revisions', 'default/hello', '7')
    await redis.command('SET', '{thaw}:registry:epoch', '7')
    const { registry } = await openRegistry()
    expect(registry.get('default', 'hello').versions).toEqual(versions)
    expect((await deploy(registry, 'hello', 'sha256:c')).kept.version).toBe(3)
    const head = (await redis.command('HGET', '{thaw}:registry', 'default/hello')) as string
    expect(JSON.parse(head)).not.toHaveProperty('versions')
    expect(await redis.command('HLEN', '{thaw}:registry:versions')).toBe(3)
    const { registry: again } = await openRegistry()
    expect(again.get('default', 'hello')).toEqual(registry.get('default', 'hello'))
  })

  test('beside the images is the copy to start from, and lies in a file of its own then', async () => {
    const functions = { 'default/hello': old('hello', ['sha256:a', 'sha256:b']) }
    annotations.set('thaw.registry', JSON.stringify({ epoch: 3, functions }))
    const { registry, redis } = await openRegistry({ own: 'one' })
    expect(registry.get('default', 'hello').versions).toEqual(functions['default/hello'].versions)
    expect(annotations.size).toBe(0)
    await redis.command('FLUSHALL')
    const { registry: again } = await openRegistry({ own: 'one' })
    expect((await deploy(again, 'hello', 'sha256:c')).kept.version).toBe(3)
  })
})

describe('the cost of a change', () => {
  test('does not follow how many functions and versions there are', async () => {
    const { registry, redis } = await openRegistry({ own: 'one' })
    const { registry: other } = await openRegistry({ own: 'two' })
    let count = 0
    const deployMore = async (most: number): Promise<void> => {
      for (; count < most; count++) {
        const name = count % 2 === 0 ? 'many' : `f${count}`
        await deploy(registry, name, `sha256:${count}`)
      }
      await eventually('the other knows it', () => other.images().size === count)
    }
    const costOf = async (work: () => Promise<void>): Promise<number> => {
      const before = await traffic(redis)
      const written = sizeOf(join(stateDir, 'one'))
      await work()
      return (await traffic(redis)) - before + sizeOf(join(stateDir, 'one')) - written
    }
    await deployMore(20)
    const few = await costOf(() => deployMore(30))
    await deployMore(600)
    const many = await costOf(() => deployMore(610))
    expect(many / few).toBeLessThan(1.5)
  })
})

/** Bytes to and from Redis of all who are connected. */
async function traffic(redis: RedisStore): Promise<number> {
  const text = (await redis.command('INFO', 'stats')) as string
  const figure = (name: string) => Number(new RegExp(`${name}:(\\d+)`).exec(text)?.[1])
  return figure('total_net_input_bytes') + figure('total_net_output_bytes')
}

function sizeOf(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
}
