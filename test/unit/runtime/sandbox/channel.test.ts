// The host's channel against a sandbox played by the test: order, credits, ids, budgets, and what the owner is told.
import { type Duplex, duplexPair, PassThrough } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Fault } from '../../../../runtime/api.ts'
import { FrameDecoder } from '../../../../runtime/protocol/decoder.ts'
import {
  encodeCredit,
  encodeFrame,
  FLAG,
  FRAME,
  frameName,
  HOST_FRAMES,
  readU32,
  WINDOW_BYTES,
} from '../../../../runtime/protocol/frames.ts'
import { encodeFault, encodeLog } from '../../../../runtime/protocol/messages.ts'
import { type Channel, createChannel } from '../../../../runtime/sandbox/channel.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { callOf, codeOf, head, type Recorded, recordingSink } from '../../../support/wire-process.ts'

let clock: FakeClock
let channel: Channel
let inside: Duplex
let faults: Fault[]
/** Frames from the host, as `NAME invocation length`. */
let received: string[]
let credits: number
/** What the channel could not handle. */
let bugs: unknown[]

beforeEach(() => {
  clock = new FakeClock()
  credits = 0
  ;[faults, received, bugs] = [[], [], []]
  const [host, sandbox] = duplexPair()
  inside = sandbox
  const decoder = new FrameDecoder(HOST_FRAMES, (type, id, payload) => {
    received.push(`${frameName(type)} ${id} ${payload.length}`)
    if (type === FRAME.CREDIT) credits += readU32(payload, 0)
  })
  sandbox.on('data', (chunk: Buffer) => decoder.push(chunk))
  channel = createChannel(host, {
    clock,
    onFault: (fault) => faults.push(fault),
    onBug: (error) => bugs.push(error),
  })
})

async function say(...frames: Buffer[]): Promise<void> {
  inside.write(Buffer.concat(frames))
  for (let index = 0; index < 5; index++) await turn()
}

const frame = (type: number, payload?: Buffer, id = 1) => encodeFrame(type, id, payload)
const FAIL = frame(FRAME.FAIL, encodeFault({ code: 'HANDLER_THREW', message: 'x' }))
const WHOLE = FLAG.END | FLAG.STARTED | FLAG.IDLE

async function loaded(): Promise<void> {
  const ready = channel.ready(100)
  await say(frame(FRAME.READY, undefined, 0))
  await ready
  const load = channel.load(codeOf('x'), 100, () => undefined)
  await say(frame(FRAME.LOADED, undefined, 0))
  await load
  received.length = 0
}

describe('what the platform itself fails on', () => {
  test('costs the sandbox that sent it, and is told', async () => {
    await loaded()
    const error = new Error('a bug')
    const sink = {
      ...recordingSink().sink,
      head: () => {
        throw error
      },
    }
    channel.invoke(callOf(), sink)
    await say(head('200', WHOLE))
    expect(bugs).toEqual([error])
    expect(faults).toMatchObject([{ code: 'KILLED' }])
  })
})

describe('boot and load', () => {
  test('READY that came before anybody waited is not lost', async () => {
    await say(frame(FRAME.READY, undefined, 0))
    await channel.ready(100)
    expect(clock.pending).toBe(0)
  })

  test('a sandbox that never says READY times out', async () => {
    const ready = expect(channel.ready(100)).rejects.toMatchObject({ code: 'BOOT_TIMEOUT' })
    await clock.advance(100)
    await ready
  })

  test('a load that takes too long says so', async () => {
    await say(frame(FRAME.READY, undefined, 0))
    const load = expect(channel.load(codeOf('x'), 50, () => undefined)).rejects.toMatchObject({
      code: 'LOAD_TIMEOUT',
      fault: { code: 'LOAD_TIMEOUT' },
    })
    await clock.advance(50)
    await load
  })

  test('code is sent once: a second load is refused', async () => {
    await loaded()
    await expect(channel.load(codeOf('x'), 50, () => undefined)).rejects.toMatchObject({ code: 'SANDBOX_STATE' })
  })

  test('code larger than a frame travels in several', async () => {
    await say(frame(FRAME.READY, undefined, 0))
    const load = channel.load(codeOf(Buffer.alloc(600_000)), 100, () => undefined)
    await say(frame(FRAME.LOADED, undefined, 0))
    await load
    expect(received[0]).toBe('INIT 0 12')
    expect(received.slice(-4)).toEqual(['DATA 0 262144', 'DATA 0 262144', 'DATA 0 75712', 'END 0 0'])
    expect(clock.pending).toBe(0)
  })

  test('the end of the sandbox rejects who waits', async () => {
    const ready = expect(channel.ready(100)).rejects.toMatchObject({
      code: 'SANDBOX_STOPPED',
      fault: { code: 'OUT_OF_MEMORY' },
    })
    channel.fail({ code: 'OUT_OF_MEMORY', message: 'm' })
    await ready
    await expect(channel.ready(100)).rejects.toMatchObject({ code: 'SANDBOX_STOPPED' })
    await expect(channel.load(codeOf('x'), 100, () => undefined)).rejects.toMatchObject({ code: 'SANDBOX_STOPPED' })
  })

  test.each([
    ['LOADED before READY', frame(FRAME.LOADED, undefined, 0)],
    ['a call frame before any call', frame(FRAME.STARTED)],
    ['STARTED for the sandbox itself', frame(FRAME.STARTED, undefined, 0)],
  ])('%s is a broken protocol', async (_name, bytes) => {
    await say(bytes)
    expect(faults).toEqual([expect.objectContaining({ code: 'PROTOCOL' })])
  })
})

describe('calls', () => {
  let recorded: Recorded

  async function begin(parts: Parameters<typeof callOf>[0] = {}) {
    await loaded()
    const recording = recordingSink()
    recorded = recording.recorded
    return channel.invoke(callOf(parts), recording.sink)
  }

  test('one frame can be a whole answer', async () => {
    await begin()
    await say(head('200\na\nb', WHOLE, Buffer.from('hello')))
    expect(recorded.events).toEqual(['started', 'head', 'data', 'end', 'idle'])
    expect([recorded.status, recorded.headers, String(recorded.chunks[0]), recorded.reusable]).toEqual([
      200,
      ['a', 'b'],
      'hello',
      true,
    ])
    expect(channel.inFlight).toBe(0)
  })

  test.each<[string, Buffer[]]>([
    ['HEAD twice', [head('200'), head('200')]],
    ['HEAD after its end', [head('200', FLAG.END), head('200')]],
    ['DATA before HEAD', [frame(FRAME.DATA, Buffer.of(1))]],
    ['DATA after END', [head('200', FLAG.END), frame(FRAME.DATA, Buffer.of(1))]],
    ['END before HEAD', [frame(FRAME.END)]],
    ['END twice', [head('200', FLAG.END), frame(FRAME.END)]],
    ['STARTED twice', [frame(FRAME.STARTED), frame(FRAME.STARTED)]],
    ['STARTED after HEAD', [head('200'), frame(FRAME.STARTED)]],
    ['IDLE before END', [head('200'), frame(FRAME.IDLE)]],
    ['IDLE twice', [head('200', WHOLE), frame(FRAME.IDLE)]],
    ['HEAD that is idle without an end', [head('200', FLAG.IDLE)]],
    ['HEAD with unknown flags', [head('200', 64)]],
    ['FAIL twice after END', [head('200', FLAG.END), FAIL, FAIL]],
    ['FAIL with a code that is the host’s to give', [frame(FRAME.FAIL, Buffer.from('{"code":"KILLED","message":""}'))]],
    ['LOAD_FAILED for a call', [frame(FRAME.FAIL, encodeFault({ code: 'LOAD_FAILED', message: 'x' }))]],
    ['CREDIT for a call without a body', [encodeCredit(1, 1)]],
    ['a frame of a call that was never begun', [frame(FRAME.STARTED, undefined, 2)]],
    ['LOG of a call that was never begun', [encodeLog(2, 'stdout', 'x')]],
    ['DATA after IDLE', [head('200', WHOLE), frame(FRAME.DATA, Buffer.of(1))]],
  ])('%s is a broken protocol, told once, and the call stays open until the owner ends it', async (_name, frames) => {
    const exchange = await begin()
    await say(...frames)
    await say(frame(FRAME.END), Buffer.from('garbage'))
    expect(faults).toEqual([expect.objectContaining({ code: 'PROTOCOL' })])
    const finished = recorded.events.includes('idle')
    channel.fail(faults[0]!)
    exchange.cancel('client')
    expect(recorded.events.filter((event) => event === 'idle')).toHaveLength(1)
    expect(recorded.reusable).toBe(finished)
    expect(channel.inFlight).toBe(0)
  })

  test('more data than there is credit for is a broken protocol', async () => {
    await loaded()
    const { sink, recorded: seen } = recordingSink()
    channel.invoke(callOf(), { ...sink, data: (chunk) => sink.data(chunk) && false })
    await say(head('200', 0, Buffer.alloc(WINDOW_BYTES)))
    expect(faults).toEqual([])
    await say(frame(FRAME.DATA, Buffer.alloc(1)))
    expect(faults).toEqual([expect.objectContaining({ code: 'PROTOCOL' })])
    expect(seen.chunks).toHaveLength(1)
  })

  test('credit comes back in portions as the sink takes data, and not after the end', async () => {
    await begin()
    await say(head('200', 0, Buffer.alloc(10_000)))
    expect(credits).toBe(0)
    await say(frame(FRAME.DATA, Buffer.alloc(10_000)))
    expect(credits).toBe(20_000)
    await say(frame(FRAME.DATA, Buffer.alloc(30_000)), frame(FRAME.END), frame(FRAME.IDLE))
    expect(credits).toBe(50_000)
    expect(recorded.events.slice(-2)).toEqual(['end', 'idle'])
  })

  test('a sink that holds back gets nothing more until resume, then the rest in order', async () => {
    await loaded()
    const { sink, recorded: seen } = recordingSink()
    let holding = true
    const exchange = channel.invoke(callOf(), { ...sink, data: (chunk) => sink.data(chunk) && !holding })
    await say(
      head('200', 0, Buffer.from('a')),
      frame(FRAME.DATA, Buffer.from('b')),
      frame(FRAME.DATA, Buffer.from('c')),
      frame(FRAME.END),
      frame(FRAME.IDLE),
    )
    expect(seen.events).toEqual(['started', 'head', 'data'])
    exchange.resume()
    expect(seen.events).toEqual(['started', 'head', 'data', 'data'])
    holding = false
    exchange.resume()
    exchange.resume()
    expect(seen.events).toEqual(['started', 'head', 'data', 'data', 'data', 'end', 'idle'])
    expect(String(Buffer.concat(seen.chunks))).toBe('abc')
  })

  test('a cancelled call drops its data, returns credit, and still ends in order', async () => {
    const exchange = await begin()
    await say(head('200', 0, Buffer.from('a')))
    exchange.cancel('client')
    exchange.cancel('timeout')
    await say(frame(FRAME.DATA, Buffer.alloc(40_000)), frame(FRAME.END), frame(FRAME.IDLE))
    expect(recorded.events).toEqual(['started', 'head', 'data', 'end', 'idle'])
    expect(received.filter((line) => line.startsWith('CANCEL'))).toEqual(['CANCEL 1 1'])
    expect(credits).toBeGreaterThanOrEqual(40_000)
  })

  test('a failure drops what the sink held back', async () => {
    await loaded()
    const { sink, recorded: seen } = recordingSink()
    channel.invoke(callOf(), { ...sink, data: () => false })
    await say(
      head('200', 0, Buffer.from('a')),
      frame(FRAME.DATA, Buffer.from('b')),
      frame(FRAME.FAIL, encodeFault({ code: 'HANDLER_THREW', message: 'x' })),
      frame(FRAME.IDLE),
    )
    expect(seen.events).toEqual(['started', 'head', 'failed', 'idle'])
    expect(seen.reusable).toBe(true)
  })

  test('an uncaught error inside is told to the owner with its exit code', async () => {
    await begin()
    await say(frame(FRAME.EXIT, encodeFault({ exitCode: 1, message: 'boom', stack: 'at x' }), 0), frame(FRAME.STARTED))
    expect(faults).toEqual([
      {
        code: 'EXITED',
        message: "the function's process ended by an error nobody caught: boom",
        stack: 'at x',
        data: { exitCode: 1 },
      },
    ])
  })

  test('the end of the connection is told once', async () => {
    await begin()
    inside.destroy()
    for (let index = 0; index < 5; index++) await turn()
    expect(faults).toEqual([expect.objectContaining({ code: 'EXITED' })])
    channel.close()
    channel.close()
    expect([recorded.events, recorded.reusable]).toEqual([['failed', 'idle'], false])
  })

  test('a call after the end fails without being sent', async () => {
    await loaded()
    channel.close()
    const { sink, recorded: seen } = recordingSink()
    const exchange = channel.invoke(callOf(), sink)
    expect(seen.events).toEqual([])
    await turn()
    expect([seen.events, seen.fault?.code, seen.reusable]).toEqual([['failed', 'idle'], 'NOT_SENT', false])
    exchange.cancel('client')
  })

  test('a head that cannot travel fails its call and leaves the sandbox alone', async () => {
    await begin({ headers: ['a', 'x'.repeat(70_000)] })
    await turn()
    expect([recorded.events, recorded.reusable, received, channel.inFlight]).toEqual([['failed', 'idle'], true, [], 0])
  })
})

describe('uploads', () => {
  test('a small buffer rides with the head', async () => {
    await loaded()
    channel.invoke(callOf({ body: Buffer.from('abc') }), recordingSink().sink)
    await turn()
    expect(received).toHaveLength(1)
  })

  test('what a stream has at hand rides with the head, and no more than the window leaves', async () => {
    await loaded()
    const body = new PassThrough({ highWaterMark: 1024 ** 2 })
    body.write(Buffer.alloc(100_000))
    channel.invoke(callOf({ method: 'POST', body }), recordingSink().sink)
    for (let index = 0; index < 5; index++) await turn()
    expect(received).toHaveLength(1)
    expect(body.isPaused()).toBe(true)
    await say(encodeCredit(1, 20_000))
    expect(received.slice(1)).toEqual(['DATA 1 20000'])
    await say(encodeCredit(1, 20_000))
    body.end()
    await say(encodeCredit(1, 10_000))
    expect(received.slice(1)).toEqual(['DATA 1 20000', 'DATA 1 14464', 'END 1 0'])
  })

  test('credit for more than was sent is a broken protocol', async () => {
    await loaded()
    channel.invoke(callOf({ method: 'POST', body: new PassThrough() }), recordingSink().sink)
    await say(encodeCredit(1, 1))
    expect(faults).toEqual([expect.objectContaining({ code: 'PROTOCOL' })])
  })

  test('a stream that was destroyed before the call fails it at once', async () => {
    await loaded()
    const body = new PassThrough()
    body.destroy()
    await turn()
    const { sink, recorded } = recordingSink()
    channel.invoke(callOf({ method: 'POST', body }), sink)
    await turn()
    expect(recorded.fault?.code).toBe('BODY_ABORTED')
    await say(head('200', WHOLE))
    expect([recorded.events, recorded.reusable]).toEqual([['failed', 'idle'], true])
  })

  test('a stream that has ended already is a complete body', async () => {
    await loaded()
    const body = new PassThrough()
    body.resume().end()
    await turn()
    channel.invoke(callOf({ method: 'POST', body }), recordingSink().sink)
    await turn()
    expect(received.at(-1)).toBe('END 1 0')
  })

  test('a stream that its owner had paused flows', async () => {
    await loaded()
    const body = new PassThrough()
    body.pause()
    channel.invoke(callOf({ method: 'POST', body }), recordingSink().sink)
    body.end('later')
    await say(Buffer.alloc(0))
    expect(received.slice(1)).toEqual(['DATA 1 5', 'END 1 0'])
  })

  test('a call that ends lets go of its stream', async () => {
    await loaded()
    const body = new PassThrough()
    channel.invoke(callOf({ method: 'POST', body }), recordingSink().sink)
    await say(head('200', WHOLE))
    expect([body.listenerCount('data'), body.listenerCount('close') <= 1, body.destroyed]).toEqual([0, true, false])
  })
})
