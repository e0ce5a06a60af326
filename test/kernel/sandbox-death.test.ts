// How sandboxes end on the real kernel, and what is told about it: out of memory, exits, signals, failed creations.
import { existsSync, readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { DEFAULT_LIMITS as BASE } from '../../runtime/limits/limits.ts'
import { begin, call, codeOf } from '../support/kernel-runtime.ts'
import { MIB, useSandboxes } from '../support/kernel-sandboxes.ts'
import { expectNoLeftovers, snapshotKernel } from '../support/leftovers.ts'
import { until } from '../support/until.ts'

let failAfter: string | null = null
const sandboxes = useSandboxes({
  afterStep: (name) => {
    if (name === failAfter) throw new Error(`injected after ${name}`)
  },
})
const start = sandboxes.start.bind(sandboxes)

describe('a sandbox that ends during a call', () => {
  test('at its memory limit is out of memory', async () => {
    const sandbox = await start(
      `async () => { const kept = []; for (;;) { kept.push(Buffer.alloc(1048576, 1)); await 0 } }`,
      { memory: 48 * MIB, memorySwap: 48 * MIB },
    )
    sandbox.beginMetering()
    const answer = await call(sandbox)
    expect(answer.fault).toMatchObject({ code: 'OUT_OF_MEMORY', data: { limitBytes: 48 * MIB } })
    expect(answer.reusable).toBe(false)
    expect(sandbox.state).toBe('stopped')
    expect((await sandbox.stopped).fault.code).toBe('OUT_OF_MEMORY')
    expect(sandbox.endMetering(true).oomKills).toBe(1)
  })

  test('at V8’s heap limit is out of memory too', async () => {
    const sandbox = await start(`async () => { const kept = []; for (;;) kept.push(new Array(1000).fill({})) }`, {
      memory: 96 * MIB,
      memorySwap: 96 * MIB,
    })
    sandbox.beginMetering()
    expect((await call(sandbox)).fault).toMatchObject({ code: 'OUT_OF_MEMORY', data: { limitBytes: 96 * MIB } })
  })

  test('by process.exit says its code', async () => {
    const sandbox = await start(`async () => { process.exit(42) }`)
    expect((await call(sandbox)).fault).toMatchObject({ code: 'EXITED', data: { exitCode: 42 } })
  })

  test('by kill -9 from outside says the signal, fails the call and is stopped', async () => {
    const sandbox = await start(`() => new Promise(() => {})`)
    const { started, answer } = begin(sandbox)
    await started
    process.kill(sandbox.pid, 'SIGKILL')
    expect((await answer).fault).toMatchObject({ code: 'EXITED', data: { signal: 'SIGKILL' } })
    expect(sandbox.state).toBe('stopped')
    expect((await call(sandbox)).fault?.code).toBe('NOT_SENT')
  })

  test('by writing nonsense to its socket broke the protocol', async () => {
    const sandbox = await start(
      `async () => { require('node:fs').writeSync(3, Buffer.alloc(64, 255)); await new Promise(() => {}) }`,
    )
    expect((await call(sandbox)).fault?.code).toBe('PROTOCOL')
    await until('its processes are gone', () => !existsSync(`/proc/${sandbox.pid}/exe`))
  })

  test('is not out of memory because a child was, long ago', async () => {
    const hog = `const kept = []; for (;;) kept.push(Buffer.alloc(1048576, 1))`
    const sandbox = await start(
      `async (request) => {
        if (request.url.endsWith('/exit')) process.exit(3)
        const result = require('node:child_process').spawnSync(process.execPath, ['-e', ${JSON.stringify(hog)}])
        return new Response(result.signal ?? String(result.status))
      }`,
      { memory: 80 * MIB, memorySwap: 80 * MIB },
    )
    sandbox.beginMetering()
    const first = await call(sandbox)
    const kills = sandbox.endMetering(true).oomKills
    if (first.fault === null) {
      expect(first.text).toBe('SIGKILL')
      expect(kills).toBe(1)
      sandbox.beginMetering()
      expect((await call(sandbox, '/exit')).fault).toMatchObject({ code: 'EXITED', data: { exitCode: 3 } })
    } else expect(first.fault.code).toBe('OUT_OF_MEMORY')
  })

  test('while frozen is found dead', async () => {
    const sandbox = await start(`async () => new Response('ok')`)
    await sandbox.freeze()
    process.kill(sandbox.pid, 'SIGKILL')
    sandbox.thaw()
    expect((await sandbox.stopped).fault).toMatchObject({ code: 'EXITED', data: { signal: 'SIGKILL' } })
    await expect(sandbox.freeze()).rejects.toMatchObject({ code: 'SANDBOX_STOPPED' })
  })
})

describe('code that cannot be loaded', () => {
  test('is told with its stack, and nothing else happens', async () => {
    const sandbox = await sandboxes.create(spec())
    const load = sandbox.load(codeOf(`(() => { throw new TypeError('at load') })()`), 5000, () => {})
    await expect(load).rejects.toMatchObject({
      code: 'LOAD_FAILED',
      fault: { message: expect.stringContaining('at load') },
    })
  })

  test('and exits is told with its exit', async () => {
    const sandbox = await sandboxes.create(spec())
    await expect(sandbox.load(codeOf(`process.exit(9)`), 5000, () => {})).rejects.toMatchObject({
      code: 'SANDBOX_STOPPED',
      fault: { code: 'EXITED', data: { exitCode: 9 } },
    })
  })

  test('and never ends meets its time-out', async () => {
    const sandbox = await sandboxes.create(spec())
    const load = sandbox.load(codeOf(`(() => { for (;;); })()`), 200, () => {})
    await expect(load).rejects.toMatchObject({ code: 'LOAD_TIMEOUT' })
  })
})

describe('destroying', () => {
  test('ends calls in flight, leaves nothing, and may be asked for twice', async () => {
    const sandbox = await start(`() => new Promise(() => {})`, { scratch: 8 * MIB }, { writableRootBytes: 4 * MIB })
    const { answer } = begin(sandbox)
    await Promise.all([sandbox.destroy(), sandbox.destroy()])
    expect((await answer).fault?.code).toBe('KILLED')
    expectNothingOf(sandbox.id)
  })

  test('takes a frozen sandbox with a fork bomb in it', async () => {
    const bomb = `const run = () => require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify('setInterval(() => {}, 1000)')}], { stdio: 'ignore' })`
    const sandbox = await start(
      `async () => { ${bomb}; for (let i = 0; i < 20; i++) try { run().on('error', () => {}) } catch {}; return new Response('ok') }`,
    )
    await call(sandbox)
    await sandbox.freeze()
    await sandbox.destroy()
    expectNothingOf(sandbox.id)
  })
})

describe('a creation that fails', () => {
  const names = ['uids', 'folder', 'scratch', 'root', 'config', 'container', 'cgroup', 'ready']
  test.each(names)('after step %s takes back all that was made', async (name) => {
    const platformBefore = snapshotKernel(sandboxes.platform.platformId)
    failAfter = name
    const changed = { ...spec(), writableRootBytes: 4 * MIB, limits: { ...spec().limits, scratch: 8 * MIB } }
    await expect(sandboxes.create(changed)).rejects.toMatchObject({ code: 'CREATE_FAILED' })
    failAfter = null
    expectNoLeftovers(platformBefore, sandboxes.platform.platformId)
    expect(readdirSync(`/run/thaw/${sandboxes.platform.platformId}/sandboxes`)).toEqual([])
    expect(readdirSync(`/run/thaw/${sandboxes.platform.platformId}/oci`)).toEqual([])
    expect(readdirSync(`${sandboxes.platform.stateDir}/scratch`).filter((file) => file.startsWith('sandbox-'))).toEqual(
      [],
    )
  })

  test('for want of tasks says so', async () => {
    const starved = { ...spec(), limits: { ...spec().limits, pids: 1 } }
    // Mostly it aborts at once; now and then Node waits for a thread it could not have, until the boot times out.
    await expect(sandboxes.create(starved)).rejects.toMatchObject({
      code: expect.stringMatching(/^(CREATE_FAILED|BOOT_TIMEOUT)$/),
      message: expect.stringContaining('pids is 1'),
    })
  })

  test('says what the OCI runtime said', async () => {
    const broken = { ...spec(), limits: { ...spec().limits, cpusetCpus: '4000' } }
    await expect(sandboxes.create(broken)).rejects.toMatchObject({ code: 'CREATE_FAILED', message: /cpuset/ })
  })
})

function spec() {
  return { layers: [], limits: { ...BASE }, network: 'none' as const, writableRootBytes: null }
}

function expectNothingOf(id: string): void {
  const { cgroups, mounts } = snapshotKernel(sandboxes.platform.platformId)
  expect([...cgroups, ...mounts].filter((path) => path.includes(id))).toEqual([])
  expect(existsSync(`/run/thaw/${sandboxes.platform.platformId}/sandboxes/${id}`)).toBe(false)
}
