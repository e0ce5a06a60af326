// What a call's code does when its answer has ended: lines and faults are laid to the call that left them, and no other call pays
// for them without being told.
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { codeOf, WireBench, type WireProcess } from '../support/wire-process.ts'

const bench = new WireBench()
afterEach(() => bench.stopAll())
afterAll(() => bench.close())

/** A process with the handler, and what is printed outside of calls: `invocation stream: line`. */
async function load(handler: string, more: object = {}): Promise<{ box: WireProcess; outside: string[] }> {
  const outside: string[] = []
  const box = await bench.boot()
  await box.channel.load(codeOf(`${handler}`, more), 20_000, (stream, line, invocation) =>
    outside.push(`${invocation} ${stream}: ${line}`),
  )
  return { box, outside }
}

const WAYS = `
  const { EventEmitter } = require('node:events')
  const ways = {
    log: () => setTimeout(() => console.log('late'), 5),
    immediate: () => setImmediate(() => console.error('late')),
    promise: () => { new Promise((r) => setTimeout(r, 5)).then(() => console.log('late')) },
    partial: () => setTimeout(() => process.stdout.write('late'), 5),
    reject: () => { Promise.reject(new Error('unseen')) },
    rejectLater: () => { (async () => { await new Promise((r) => setTimeout(r, 5)); throw new Error('unseen') })() },
    throw: () => setTimeout(() => { throw new Error('unseen') }, 5),
    tick: () => setImmediate(() => process.nextTick(() => { throw new Error('unseen') })),
    emitter: () => setTimeout(() => new EventEmitter().emit('error', new Error('unseen')), 5),
    stream: () => { require('node:fs').createReadStream('/nowhere/unseen') },
    exit: () => setTimeout(() => process.exit(7), 5),
    exitLines: () => { process.on('exit', () => console.log('last words')); setTimeout(() => process.exit(7), 5) },
    odd: () => setTimeout(() => { throw null }, 5),
    abort: () => setTimeout(() => process.kill(process.pid, 'SIGKILL'), 5),
  }
  exports.default = (request) => { ways[new URL(request.url).pathname.slice(1)]?.(); return new Response('ok') }`

describe('a line after the answer', () => {
  test.each([
    ['log', 'call-1 stdout: late'],
    ['immediate', 'call-1 stderr: late'],
    ['promise', 'call-1 stdout: late'],
    ['partial', 'call-1 stdout: late'],
  ])('of the way %s is laid to the call that left it', async (way, line) => {
    const { box, outside } = await load(WAYS)
    expect((await box.call({ id: 'call-1', target: `/${way}` })).body).toBe('ok')
    await until('it is printed', () => outside.length > 0)
    expect(outside).toEqual([line])
  })

  test('stays that of its call while others run', async () => {
    const { box, outside } = await load(`
      exports.default = async (request) => {
        const name = new URL(request.url).pathname
        if (name === '/first') setTimeout(() => console.log('of the first'), 20)
        else { await new Promise((r) => setTimeout(r, 60)); console.log('of ' + name) }
        return new Response('ok') }`)
    await box.call({ id: 'first', target: '/first' })
    const others = await Promise.all(['a', 'b'].map((id) => box.call({ id, target: `/${id}` })))
    expect(outside).toEqual(['first stdout: of the first'])
    expect(others.map(({ lines }) => lines)).toEqual([['stdout: of /a'], ['stdout: of /b']])
  })

  test('without an owner counts for the call begun last; before the first call, for none', async () => {
    const { box, outside } = await load(`
      let told = 0
      setInterval(() => { if (told < globalThis.wanted) { told++; console.log('tick ' + told) } }, 2)
      globalThis.wanted = 1
      exports.default = () => { setTimeout(() => { globalThis.wanted = 2 }, 10); return new Response('ok') }`)
    await until('it ticks', () => outside.length === 1)
    await box.call({ id: 'call-1' })
    await until('it ticks again', () => outside.length === 2)
    expect(outside).toEqual(['null stdout: tick 1', 'call-1 stdout: tick 2'])
  })
})

describe('a fault after the answer', () => {
  test.each([
    ['reject', 'unseen'],
    ['rejectLater', 'unseen'],
    ['throw', 'unseen'],
    ['tick', 'unseen'],
    ['emitter', 'unseen'],
    ['stream', 'ENOENT'],
    ['odd', 'null'],
    ['exit', 'exited with code 7'],
  ])('of the way %s names the call that left it, and its error', async (way, words) => {
    const { box, outside } = await load(WAYS)
    expect(await box.call({ id: 'call-1', target: `/${way}` })).toMatchObject({ status: 200, body: 'ok', fault: null })
    await until('the process has ended', () => box.faults.length > 0)
    expect(box.faults[0]).toMatchObject({ code: 'EXITED', data: { leftBy: 'call-1' } })
    expect(box.faults[0]!.message).toContain(words)
    if (way !== 'exit') expect(outside.filter((line) => line.startsWith('call-1 stderr: Uncaught'))).toHaveLength(1)
  })

  test('what listeners of the exit print comes before the end', async () => {
    const { box, outside } = await load(WAYS)
    await box.call({ id: 'call-1', target: '/exitLines' })
    await until('the process has ended', () => box.faults.length > 0)
    expect(outside).toEqual(['call-1 stdout: last words'])
  })

  test('that ends another call under way says who had left it', async () => {
    const { box } = await load(`
      exports.default = (request) => {
        if (request.url.endsWith('/wait')) return new Promise(() => {})
        setTimeout(() => { throw new Error('left behind') }, 30)
        return new Response('ok') }`)
    await box.call({ id: 'guilty' })
    const { fault } = await box.call({ id: 'victim', target: '/wait' })
    expect(fault).toMatchObject({ code: 'EXITED', data: { leftBy: 'guilty' } })
    expect(fault!.message).toContain('left behind (left running by invocation guilty, which had ended)')
  })

  test('a call that was written too late for it to be read may run elsewhere', async () => {
    const { box } = await load(
      `exports.default = () => { setImmediate(() => { for (const end = Date.now() + 50; Date.now() < end;); process.exit(1) }); return new Response('ok') }`,
    )
    await box.call()
    expect((await box.call()).fault?.code).toBe('NOT_SENT')
  })

  test('a waitUntil that fails is reported with its call, whose outcome stays', async () => {
    const { box } = await load(`
      exports.default = (request, ctx) => {
        const before = request.url.endsWith('/before')
        ctx.waitUntil(before ? Promise.reject(new Error('background')) : new Promise((_, fail) => setTimeout(fail, 5, new Error('background'))))
        return before ? new Promise((r) => setTimeout(r, 10, new Response('ok'))) : new Response('ok') }`)
    for (const target of ['/', '/before']) {
      const call = await box.call({ target })
      expect(call).toMatchObject({ status: 200, body: 'ok', fault: null, reusable: true })
      expect(call.late).toMatchObject([{ code: 'HANDLER_THREW', message: 'background' }])
      expect(call.lines[0]).toBe('stderr: waitUntil: Error: background')
    }
  })

  test('an end of the process while waitUntil goes on is reported with its call', async () => {
    const { box } = await load(`
      exports.default = (request, ctx) => { ctx.waitUntil(new Promise(() => setTimeout(() => process.exit(3), 5))); return new Response('ok') }`)
    const call = await box.call()
    expect(call).toMatchObject({ status: 200, body: 'ok', fault: null, reusable: false })
    expect(call.late).toMatchObject([{ code: 'EXITED', data: { exitCode: 3 } }])
  })

  test('a listener of its own for uncaught errors takes the matter over', async () => {
    const { box, outside } = await load(
      `process.on('uncaughtException', (error) => console.log('taken', error.message))\n${WAYS}`,
    )
    await box.call({ id: 'call-1', target: '/throw' })
    await until('it is taken', () => outside.length > 0)
    expect([outside, box.faults]).toEqual([['call-1 stdout: taken unseen'], []])
    expect((await box.call()).body).toBe('ok')
  })
})
