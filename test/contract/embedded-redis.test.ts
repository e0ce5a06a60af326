// The platform's own redis-server: on disk before the answer, started again when it dies, and clear when it cannot start.
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { spawn } from '../../runtime/api.ts'
import { connectRedis, type RedisStore } from '../../worker/store/connect.ts'
import { type EmbeddedRedis, startEmbeddedRedis } from '../../worker/store/embedded-redis.ts'
import { askRedis, preparePaths, startProcess } from '../../worker/store/redis-process.ts'
import { eventually, realClock, silentLogger } from '../support/redis.ts'

let folder: string
let servers: EmbeddedRedis[]
let stores: RedisStore[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thaw-redis-'))
  servers = []
  stores = []
})
afterEach(async () => {
  for (const store of stores) await store.close()
  for (const server of servers) await server.stop()
  await rm(folder, { recursive: true, force: true })
})

async function start(run: typeof spawn = spawn, bounds: { maxMemoryBytes?: number } = {}): Promise<EmbeddedRedis> {
  const dirs = { stateDir: join(folder, 'state'), runDir: join(folder, 'run') }
  const server = await startEmbeddedRedis({ ...dirs, ...bounds, spawn: run, logger: silentLogger, clock: realClock })
  servers.push(server)
  return server
}

async function connect(server: EmbeddedRedis): Promise<RedisStore> {
  const store = connectRedis({ socketPath: server.socketPath }, silentLogger)
  stores.push(store)
  expect(await store.waitAvailable(5_000)).toBe(true)
  return store
}

/** Path of the file that grows with each command. */
async function incrementalFile(): Promise<string> {
  const dir = join(folder, 'state', 'redis', 'appendonlydir')
  const name = (await readdir(dir)).find((file) => file.endsWith('.incr.aof'))
  return join(dir, name!)
}

describe('a running server', () => {
  test('listens on a socket only its owner may open, syncs every write and evicts nothing', async () => {
    const server = await start()
    const store = await connect(server)
    expect((await stat(server.socketPath)).mode & 0o777).toBe(0o700)
    const settings = await store.command(
      'CONFIG',
      'GET',
      'port',
      'appendonly',
      'appendfsync',
      'maxmemory-policy',
      'save',
    )
    const flat = settings as string[]
    const pairs = flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1]]] : []))
    expect(Object.fromEntries(pairs)).toEqual({
      port: '0',
      appendonly: 'yes',
      appendfsync: 'always',
      'maxmemory-policy': 'noeviction',
      save: '',
    })
  })

  test('holds no more than it may', async () => {
    const server = await start(spawn, { maxMemoryBytes: 8 * 1024 ** 2 })
    const store = await connect(server)
    const mebibyte = 'x'.repeat(1024 ** 2)
    let kept = 0
    await expect(
      (async () => {
        for (; kept < 20; kept++) await store.command('SET', `key-${kept}`, mebibyte)
      })(),
    ).rejects.toThrow(/OOM/)
    expect(kept).toBeGreaterThan(2)
    expect(await store.command('DBSIZE')).toBe(kept)
  })

  test('that is killed comes back with everything it acknowledged', async () => {
    const server = await start()
    const store = await connect(server)
    await store.command('SET', 'a', '1')
    process.kill(server.pid()!, 'SIGKILL')
    await eventually('it is gone', () => !server.available())
    expect(server.reason()).toMatch(/SIGKILL/)
    await eventually('it is back', () => server.available() && store.available())
    expect(await store.command('GET', 'a')).toBe('1')
    // A full disk makes it come and go: who asks in between is told why all the same.
    expect([server.reason(), server.lastEnd()]).toEqual([null, expect.stringMatching(/SIGKILL/)])
  })

  test('stops in order, twice if asked, and leaves no socket', async () => {
    const server = await start()
    const pid = server.pid()!
    await server.stop()
    await server.stop()
    expect(server.available()).toBe(false)
    expect(() => process.kill(pid, 0)).toThrow()
    expect(await readdir(join(folder, 'run'))).toEqual([])
  })
})

describe('a command', () => {
  test('fails at once while the server is away', async () => {
    const server = await start()
    const store = await connect(server)
    await server.stop()
    await eventually('the connection notices', () => !store.available())
    await expect(store.command('GET', 'a')).rejects.toMatchObject({ code: 'REDIS_AWAY' })
  })

  test('that Redis refuses says so', async () => {
    const store = await connect(await start())
    await store.command('SET', 'a', 'text')
    await expect(store.command('INCR', 'a')).rejects.toMatchObject({ code: 'REDIS_REFUSED' })
  })

  test('in flight when the server dies is rejected, not sent again', async () => {
    const server = await start()
    const store = await connect(server)
    const slow = store.script("local t = redis.call('TIME')[1] + 1; while redis.call('TIME')[1] + 0 < t do end", [], [])
    const rejected = expect(slow).rejects.toMatchObject({ code: 'REDIS_AWAY' })
    process.kill(server.pid()!, 'SIGKILL')
    await rejected
  })
})

describe('a channel', () => {
  test('is joined again after a break, and says so', async () => {
    const server = await start()
    const store = await connect(server)
    const heard: string[] = []
    let joined = 0
    store.subscribe(
      'news',
      (message) => heard.push(message),
      () => joined++,
    )
    await eventually('it is joined', () => joined === 1)
    process.kill(server.pid()!, 'SIGKILL')
    await eventually('it is joined again', () => joined === 2)
    await eventually('commands work', () => store.available())
    await store.command('PUBLISH', 'news', 'hello')
    await eventually('the message comes', () => heard.length === 1)
  })

  test('that was left is silent', async () => {
    const store = await connect(await start())
    const heard: string[] = []
    let joined = 0
    const leave = store.subscribe(
      'news',
      (message) => heard.push(message),
      () => joined++,
    )
    store.subscribe(
      'other',
      (message) => heard.push(message),
      () => joined++,
    )
    await eventually('both are joined', () => joined === 2)
    leave()
    await store.command('PUBLISH', 'news', 'lost')
    await store.command('PUBLISH', 'other', 'heard')
    await eventually('the other message comes', () => heard.length === 1)
    expect(heard).toEqual(['heard'])
  })
})

describe('the append-only file', () => {
  test('with a half-written last command is taken as it is', async () => {
    const server = await start()
    const store = await connect(server)
    await store.command('SET', 'a', '1')
    await server.stop()
    const file = await open(await incrementalFile(), 'a')
    await file.write('*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$5\r\nha')
    await file.close()
    const again = await connect(await start())
    expect(await again.command('GET', 'a')).toBe('1')
    expect(await again.command('GET', 'b')).toBeNull()
  })

  test('with garbage inside is reported, with the way out, and not tried again', async () => {
    const server = await start()
    const store = await connect(server)
    for (let i = 0; i < 20; i++) await store.command('SET', `key${i}`, 'value')
    await server.stop()
    const path = await incrementalFile()
    const bytes = await readFile(path)
    bytes.fill('garbage!', Math.floor(bytes.length / 2), Math.floor(bytes.length / 2) + 64)
    await writeFile(path, bytes)
    let starts = 0
    const counting: typeof spawn = (...args) => {
      starts++
      return spawn(...args)
    }
    await expect(start(counting)).rejects.toMatchObject({
      code: 'REDIS_DATA_CORRUPT',
      message: expect.stringContaining('redis-check-aof --fix'),
    })
    expect(starts).toBe(1)
  })
})

describe('the start', () => {
  test('says how to install a server that is missing', async () => {
    const bin = join(folder, 'bin')
    await mkdir(bin)
    // setpriv is there, redis-server is not.
    await writeFile(join(bin, 'setpriv'), '#!/bin/sh\nexec /usr/bin/setpriv "$@"\n')
    await chmod(join(bin, 'setpriv'), 0o755)
    const bare: typeof spawn = (command, args, options) =>
      spawn(join(bin, command), args, { ...options, env: { PATH: bin } })
    await expect(start(bare)).rejects.toMatchObject({
      code: 'REDIS_MISSING',
      message: expect.stringContaining('apt-get install redis-server'),
    })
  })

  test('stops an orphan on the same data first', async () => {
    // Nobody supervises it: the platform that started it is gone.
    const paths = await preparePaths(join(folder, 'state'), join(folder, 'run'))
    const { child: first } = startProcess(spawn, paths)
    await eventually('it answers', async () => (await askRedis(paths.socketPath, 1_000)) === 'ready')
    const server = await start()
    await first.exited
    expect(server.pid()).not.toBe(first.pid)
    expect(server.available()).toBe(true)
  })

  test('leaves a process alone that only has the number of an old one', async () => {
    const dataDir = join(folder, 'state', 'redis')
    await mkdir(dataDir, { recursive: true })
    await writeFile(join(dataDir, 'redis.pid'), `${process.pid}\n`)
    expect((await start()).available()).toBe(true)
  })

  test('refuses a socket path that is too long, with its length', async () => {
    const options = {
      stateDir: folder,
      runDir: join(folder, 'x'.repeat(120)),
      spawn,
      logger: silentLogger,
      clock: realClock,
    }
    await expect(startEmbeddedRedis(options)).rejects.toMatchObject({ code: 'REDIS_START_FAILED' })
  })
})
