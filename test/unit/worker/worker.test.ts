import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DEFAULT_LIMITS } from '../../../runtime/api.ts'
import { RuntimeError } from '../../../runtime/errors.ts'
import type { PlatformEvent } from '../../../worker/api.ts'
import { settle } from '../../support/fake-clock.ts'
import { versionOf } from '../../support/samples.ts'
import { TestWorker } from '../../support/test-worker.ts'

let host: TestWorker
beforeEach(() => {
  host = new TestWorker()
})
afterEach(() => host.close())

const hello = versionOf('hello')

describe('verify', () => {
  test('loads the version once without a call; the sandbox joins the pool', async () => {
    await host.worker.verify(hello)
    expect(host.sandbox(0).calls).toEqual([])
    const seen = host.callNow(hello)
    host.sandbox(0).call.respond()
    expect(seen.start).toBe('warm')
    await host.worker.verify(hello)
    expect(host.runtime.created).toHaveLength(1)
  })

  test('says why a version does not load, with the stack', async () => {
    host.runtime.onCreate = async (sandbox) => {
      sandbox.onLoad = async () => {
        throw new RuntimeError('LOAD_FAILED', 'x', {
          fault: { code: 'LOAD_FAILED', message: 'no', stack: 'Error: no' },
        })
      }
    }
    await expect(host.worker.verify(hello)).rejects.toMatchObject({
      code: 'FUNCTION_INIT_FAILED',
      message: 'no',
      functionStack: 'Error: no',
    })
    expect(host.runtime.live).toEqual([])
  })

  test('of a version larger than the host is refused for good, and so is a call that asks for so much', async () => {
    const tooLarge = versionOf('large', { limits: { ...DEFAULT_LIMITS, memory: 900 * 1024 ** 3 } })
    await expect(host.worker.verify(tooLarge)).rejects.toMatchObject({
      code: 'LIMIT_UNSUPPORTED',
      message: 'memory: 900g is more than this host gives to all sandboxes together (4g)',
    })
    const growing = versionOf('growing', { maxLimits: { memory: 900 * 1024 ** 3 } })
    const seen = await host.call(growing, { limits: { memory: 800 * 1024 ** 3 } })
    expect(seen.failure?.code).toBe('LIMIT_INVALID')
    expect(seen.failure?.message).toContain('800g is more than this host gives')
  })

  test('is refused while the platform stops', async () => {
    await host.worker.drain(0)
    await expect(host.worker.verify(hello)).rejects.toMatchObject({ code: 'DRAINING' })
  })
})

describe('more CPUs than this machine has', () => {
  beforeEach(() => {
    const { cores } = host.runtime.host
    host.runtime.onCheckLimits = ({ cpus }) => {
      if (cpus != null && cpus > cores) throw new RuntimeError('LIMIT_UNSUPPORTED', `cpus: ${cpus}`)
    }
  })

  test('a function has from before: it runs', async () => {
    const vast = versionOf('vast', { limits: { ...DEFAULT_LIMITS, cpus: 99 } })
    const seen = await host.call(vast)
    expect([seen.failure, host.sandbox(0).limits.cpus]).toEqual([null, 99])
  })

  test('a call was promised by who knows a larger machine: it runs, with the limit it asked for', async () => {
    const seen = await host.call(hello, { limits: { cpus: 99 } })
    expect([seen.failure, host.sandbox(0).limits.cpus]).toEqual([null, 99])
  })
})

describe('sandboxes', () => {
  test('are listed with what an operator wants to know, by namespace', async () => {
    await host.warm(hello)
    expect(host.worker.sandboxes('default')).toEqual([
      {
        id: 'sb1',
        namespace: 'default',
        function: 'hello',
        version: 1,
        state: 'idle',
        pid: 1001,
        memoryBytes: 16 * 1024 ** 2,
        cpuUs: 0,
        calls: 1,
        inFlight: 0,
        createdAt: '2026-01-01T00:00:00.000Z',
        idleSince: '2026-01-01T00:00:00.000Z',
      },
    ])
    expect(host.worker.sandboxes('other')).toEqual([])
  })

  test('can be frozen while idle and thawed, not while busy', async () => {
    const sandbox = await host.warm(hello)
    expect(await host.worker.act('sb1', 'freeze')).toMatchObject({ state: 'frozen' })
    expect(await host.worker.act('sb1', 'freeze')).toMatchObject({ state: 'frozen' })
    expect(await host.worker.act('sb1', 'thaw')).toMatchObject({ state: 'idle' })
    expect(sandbox.state).toBe('running')
    host.callNow(hello)
    await expect(host.worker.act('sb1', 'freeze')).rejects.toMatchObject({ code: 'SANDBOX_STATE' })
    await expect(host.worker.act('nobody', 'freeze')).rejects.toMatchObject({ code: 'SANDBOX_NOT_FOUND' })
  })

  test('can be killed: a call in it fails as killed, and the next call works', async () => {
    await host.warm(hello)
    const seen = host.callNow(hello)
    await host.worker.act('sb1', 'kill')
    expect(seen.failure).toMatchObject({ code: 'FUNCTION_KILLED', message: 'killed by an operator' })
    await settle()
    expect(host.sandbox(0).destroyed).toBe(true)
    const next = await host.call(hello)
    host.sandbox(1).call.respond()
    expect(next.ends).toBe(1)
  })

  test('can be restarted: another one of the version is started', async () => {
    await host.warm(hello)
    await host.worker.act('sb1', 'restart')
    await settle()
    expect(host.sandbox(0).destroyed).toBe(true)
    expect(host.worker.sandboxes(null)).toMatchObject([{ id: 'sb2', state: 'idle' }])
  })

  test('of versions that are retired go, busy ones when their call ends', async () => {
    const old = versionOf('old')
    await host.warm(hello)
    await host.warm(old)
    await host.call(old)
    const seen = host.callNow(versionOf('old', {}, 2))
    await settle()
    await host.worker.retire((version) => (version.name === 'hello' ? 'kept' : 'gone'))
    const busy = host.sandbox(1)
    expect(busy.destroyed).toBe(false)
    busy.call.respond()
    await settle()
    expect(busy.destroyed).toBe(true)
    host.sandbox(2).call.respond()
    expect(seen.ends).toBe(1)
    await settle()
    expect(host.runtime.live.map((sandbox) => sandbox.id)).toEqual(['sb1'])
  })
})

describe('events', () => {
  test('tell of sandboxes, log lines and ended invocations, until unsubscribed', async () => {
    const events: PlatformEvent[] = []
    const stop = host.worker.subscribe((event) => events.push(event))
    await host.call(hello)
    host.sandbox(0).call.sink.log('stdout', 'hi')
    host.sandbox(0).call.respond()
    await host.clock.advance(600)
    const seen = events.map((event) => (event.type === 'sandbox' ? `sandbox ${event.sandbox.state}` : event.type))
    expect(seen).toEqual(['sandbox loading', 'sandbox idle', 'log', 'log', 'invocation', 'sandbox frozen'])
    stop()
    host.callNow(hello)
    expect(events).toHaveLength(6)
  })
})

describe('logs', () => {
  test('hold a call’s lines, why it failed and one REPORT line', async () => {
    const seen = await host.call(hello)
    const inside = host.sandbox(0).call
    inside.sink.log('stdout', 'one')
    inside.sink.log('stderr', 'two')
    inside.sink.started()
    inside.fail({ code: 'HANDLER_THREW', message: 'boom', stack: 'Error: boom\n    at f (/code/hello.js:1:2)' })
    const lines = await host.worker.logs({ namespace: 'default', invocation: seen.invocation.id })
    expect(lines.map((line) => `${line.stream} ${line.line}`)).toEqual([
      'stdout one',
      'stderr two',
      'stderr Error: boom',
      'stderr     at f (/code/hello.js:1:2)',
      expect.stringMatching(/^report REPORT 018f\S+ {2}status 500 {2}FUNCTION_THREW {2}start cold {2}run /),
    ])
    expect(lines[0]).toMatchObject({ function: 'hello', version: 1, sandbox: 'sb1', namespace: 'default' })
  })

  test('keep what the code prints while it loads, without an invocation', async () => {
    host.runtime.onCreate = async (sandbox) => {
      sandbox.onLoad = async (_code, log) => log('stdout', 'loading')
    }
    await host.worker.verify(hello)
    const lines = await host.worker.logs({ namespace: 'default', function: 'hello' })
    expect(lines).toMatchObject([{ invocation: null, line: 'loading', sandbox: 'sb1' }])
  })

  test('of a load are capped like those of a call', async () => {
    host.runtime.onCreate = async (sandbox) => {
      sandbox.onLoad = async (_code, log) => {
        for (let line = 0; line < 12_000; line++) log('stdout', 'at load')
      }
    }
    await host.warm(versionOf('loud'))
    const lines = (await host.worker.logs({ namespace: 'default', function: 'loud' })).filter(
      (line) => line.invocation === null,
    )
    expect(lines).toHaveLength(10_001)
    expect(lines.at(-1)?.line).toContain('the rest of this output')
  })

  test('cap what one call may write, and say so once', async () => {
    const seen = await host.call(hello)
    for (let index = 0; index < 10_050; index++) host.sandbox(0).call.sink.log('stdout', 'x')
    host.sandbox(0).call.respond()
    const lines = await host.worker.logs({ namespace: 'default', invocation: seen.invocation.id })
    expect(lines).toHaveLength(10_002)
    expect(lines.at(-2)?.line).toContain('the rest of this output')
  })
})

describe('a worker that drains', () => {
  test('refuses new calls and lets running and waiting ones finish', async () => {
    const one = versionOf('one', { concurrency: 1 })
    const running = await host.call(one)
    const waiting = host.callNow(one)
    let drained = false
    const draining = host.worker.drain(10_000).then(() => {
      drained = true
    })
    const refused = host.callNow(one)
    expect(refused.failure?.code).toBe('DRAINING')
    host.sandbox(0).call.respond()
    await settle()
    expect(drained).toBe(false)
    host.sandbox(0).call.respond()
    await draining
    expect([running.ends, waiting.ends]).toEqual([1, 1])
  })

  test('waits no longer than it is told; what still waits is refused', async () => {
    const one = versionOf('one', { concurrency: 1 })
    await host.call(one)
    const waiting = host.callNow(one)
    const draining = host.worker.drain(1000)
    await host.clock.advance(1000)
    await draining
    expect(waiting.failure?.code).toBe('DRAINING')
  })

  test('and is closed leaves no sandbox, not even a busy one or one that is being started', async () => {
    const busy = await host.call(hello)
    let create = () => {}
    host.runtime.onCreate = () =>
      new Promise((resolve) => {
        create = resolve
      })
    const starting = await host.call(versionOf('other'))
    const closing = host.worker.close()
    expect(busy.failure?.code).toBe('FUNCTION_KILLED')
    expect(starting.failure?.code).toBe('DRAINING')
    create()
    await closing
    expect(host.runtime.created).toHaveLength(2)
    expect(host.runtime.live).toEqual([])
  })
})
