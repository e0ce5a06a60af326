import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FunctionVersion, LogLine } from '../../../../worker/api.ts'
import { SourceMaps } from '../../../../worker/source-maps/source-maps.ts'
import { FakeClock, settle } from '../../../support/fake-clock.ts'
import type { FakeSandbox } from '../../../support/fake-runtime.ts'
import { ThreadByHand } from '../../../support/map-thread-by-hand.ts'
import { silentLogger } from '../../../support/real-clock.ts'
import { versionOf } from '../../../support/samples.ts'
import { TestWorker } from '../../../support/test-worker.ts'

const MAP = Buffer.from(JSON.stringify({ version: 3, sources: ['a.ts'], names: [], mappings: 'AAAA' }))
const AT = '/code/a.js:1:1'

let host: TestWorker
let thread: ThreadByHand
let version: FunctionVersion
let sandbox: FakeSandbox
beforeEach(async () => {
  thread = new ThreadByHand()
  const codeOf = (image: string) => host.runtime.images.get(image)
  host = new TestWorker({
    sourceMaps: new SourceMaps({ clock: new FakeClock(), logger: silentLogger, codeOf, thread }),
  })
  const source = Buffer.from('x'.repeat(100))
  const { digest } = await host.runtime.images.put({ source, sourceMap: MAP, addonTar: null, config: {} })
  version = { ...versionOf('mapped'), image: digest }
  sandbox = await host.warm(version)
})
afterEach(() => host.close())

const decoded = async () => {
  await thread.asked[0]!.go()
  await settle()
}
const logged = (): LogLine[] => {
  const lines: LogLine[] = []
  host.worker.subscribe((event) => {
    if (event.type === 'log') lines.push(event.line)
  })
  return lines
}

describe('the first failed call with a position', () => {
  const fail = async () => {
    const seen = host.callNow(version)
    sandbox.call.sink.started()
    sandbox.call.fail({ code: 'HANDLER_THREW', message: 'no', stack: `Error: no\n    at f (${AT})` }, true)
    await settle()
    return seen
  }

  test('waits for its map; its sandbox does not', async () => {
    const seen = await fail()
    expect(seen.failures).toEqual([])
    const next = await host.call(version)
    expect(host.runtime.created).toHaveLength(1)
    sandbox.call.respond()
    await settle()
    expect(next.status).toBe(200)
    await decoded()
    expect(seen.failures).toMatchObject([{ code: 'FUNCTION_THREW', stack: 'Error: no\n    at f (a.ts:1:1)' }])
    expect(await seen.invocation.done).toMatchObject({ state: 'failed', error: { stack: /a\.ts:1:1/ } })
    // Once the map is known none waits.
    expect((await fail()).failures).toMatchObject([{ stack: /a\.ts:1:1/ }])
    expect(thread.asked).toHaveLength(1)
  })

  test('does not keep its caller from leaving, and ends once', async () => {
    const seen = await fail()
    seen.invocation.abort('client')
    await decoded()
    expect(seen.failures).toHaveLength(1)
    await seen.invocation.done
  })
})

describe('log lines with a position', () => {
  test('keep their order and hold up no call', async () => {
    const lines = logged()
    const seen = host.callNow(version)
    for (const text of ['first', `at ${AT}`, 'last']) sandbox.call.sink.log('stdout', text)
    sandbox.call.respond()
    await settle()
    expect(seen.status).toBe(200)
    await seen.invocation.done
    expect(lines.map(({ line }) => line)).toEqual(['first'])
    await decoded()
    expect(lines.map(({ line }) => line)).toEqual(['first', 'at a.ts:1:1', 'last', expect.stringMatching(/^REPORT/)])
  })

  test('are written as they are when the worker closes first', async () => {
    const lines = logged()
    host.callNow(version)
    sandbox.call.sink.log('stdout', `at ${AT}`)
    sandbox.call.sink.log('stdout', 'last')
    const closed = host.worker.close()
    await host.clock.advance(20_000)
    await closed
    expect(lines.map(({ line }) => line).slice(0, 2)).toEqual([`at ${AT}`, 'last'])
  })

  test('are in an answer to who asks for logs, once their map is there', async () => {
    host.callNow(version)
    sandbox.call.sink.log('stdout', `at ${AT}`)
    const asked = host.worker.logs({ namespace: version.namespace, function: version.name })
    await settle()
    await decoded()
    expect((await asked).map(({ line }) => line)).toContain('at a.ts:1:1')
  })
})
