// A gateway and workers on one Redis, in miniature: what becomes of calls that somebody waits for, of files that lie elsewhere, and
// of questions nobody answers.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { InvocationRequest, InvocationSink } from '../../worker/api.ts'
import { startGatewayMember, startWorkerMember, type TestMember, type TestWorker } from '../support/fleet.ts'
import { submissionOf } from '../support/lane.ts'
import { eventually, startTestRedis, type TestRedis } from '../support/redis.ts'
import { requestOf, versionOf } from '../support/samples.ts'

let redis: TestRedis
const members: TestMember[] = []

beforeEach(async () => {
  redis = await startTestRedis()
})
afterEach(async () => {
  for (const member of members.splice(0)) await member.close()
  await redis.close()
})

async function gatewayMember(id = 'gateway1'): Promise<TestMember> {
  const member = await startGatewayMember(redis, id)
  members.push(member)
  return member
}
async function workerMember(id: string): Promise<TestWorker> {
  const member = await startWorkerMember(redis, id)
  members.push(member)
  return member
}
/** Seen by the others. */
async function seen(gateway: TestMember, ids: readonly string[]): Promise<void> {
  await eventually('they see each other', () => ids.every((id) => gateway.members.get(id) !== undefined))
}

/** An answer as a caller sees it. */
interface Seen {
  readonly status: number | null
  readonly body: string
  readonly code: string | null
}
function call(gateway: TestMember, changes: Partial<InvocationRequest> = {}) {
  const { id, method, target, headers, limits } = submissionOf('work')
  const chunks: Buffer[] = []
  let status: number | null = null
  let settle: (seen: Seen) => void = () => {}
  const answered = new Promise<Seen>((resolve) => (settle = resolve))
  const body = () => Buffer.concat(chunks).toString()
  const sink: InvocationSink = {
    head: (head) => {
      status = head.status
    },
    data: (chunk) => chunks.push(chunk) > 0,
    end: () => settle({ status, body: body(), code: null }),
    failed: ({ code }) => settle({ status, body: body(), code }),
  }
  const sent = Buffer.from('hello')
  const given = { id, method, target, headers, limits, body: sent, acceptedAtMs: Date.now() }
  const request = requestOf(versionOf('work'), { ...given, ...changes })
  const invocation = gateway.worker.invoke(request, sink)
  return { id, invocation, answered }
}

describe('a call that somebody waits for', () => {
  test('is refused at once while there is no worker', async () => {
    const gateway = await gatewayMember()
    expect(await call(gateway).answered).toEqual({ status: null, body: '', code: 'HOST_FULL' })
  })

  test('is answered, is in no list, and is not held up by a paused queue', async () => {
    const gateway = await gatewayMember()
    const worker = await workerMember('worker01')
    await seen(gateway, ['worker01'])
    await gateway.lane.pauseFunction('default', 'work', true)
    const one = call(gateway)
    expect(await one.answered).toEqual({ status: 200, body: 'hello', code: null })
    expect((await one.invocation.done).state).toBe('succeeded')
    expect((await gateway.lane.records({ namespace: 'default', limit: 10 })).records).toEqual([])
    expect(worker.worker.calls).toHaveLength(1)
  })

  test('that fails has the code of its failure and leaves no dead letter', async () => {
    const gateway = await gatewayMember()
    const worker = await workerMember('worker01')
    await seen(gateway, ['worker01'])
    worker.worker.handle = () => ({ failure: { code: 'FUNCTION_THREW', component: 'function', message: 'no' } })
    expect((await call(gateway).answered).code).toBe('FUNCTION_THREW')
    expect(worker.worker.calls).toHaveLength(1)
    expect(await gateway.lane.deadLetters.list('default', 'work', { limit: 10 })).toEqual([])
  })

  test('runs again after the death of its worker only if its method may be repeated', async () => {
    const gateway = await gatewayMember()
    const dying = await workerMember('worker01')
    await seen(gateway, ['worker01'])
    dying.worker.handle = () => new Promise(() => {})
    const post = call(gateway, { method: 'POST' })
    const get = call(gateway, { method: 'GET', body: null })
    await eventually('both run', () => dying.worker.calls.length === 2)
    const other = await workerMember('worker02')
    await dying.lane.close()
    expect((await post.answered).code).toBe('WORKER_LOST')
    expect((await get.answered).status).toBe(200)
    expect(other.worker.calls.map(({ request }) => [request.id, request.attempt])).toEqual([[get.id, 1]])
  })

  test('is taken out of the queue when its caller leaves, or its signal aborts where it runs', async () => {
    const gateway = await gatewayMember()
    const worker = await workerMember('worker01')
    await seen(gateway, ['worker01'])
    worker.worker.handle = ({ signal }) =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve({ status: 200 })))
    const running = call(gateway)
    await eventually('it runs', () => worker.worker.calls.length === 1)
    running.invocation.abort('client')
    await eventually('its signal aborts', () => worker.worker.calls[0]!.signal.aborted)
  })
})

describe('files of calls', () => {
  const large = Buffer.alloc(200_000, 'x')

  test('come from whoever accepted the call, and results go to whoever keeps them', async () => {
    const gateway = await gatewayMember()
    const worker = await workerMember('worker01')
    await seen(gateway, ['worker01'])
    await seen(worker, ['gateway1'])
    const { id } = await gateway.lane.submit(submissionOf('work', { body: large }))
    const { result } = await gateway.lane.result(id, 10_000)
    expect(Buffer.isBuffer(result!.body) ? '' : await text(result!.body)).toBe(large.toString())
    expect(readdirSync(join(gateway.stateDir, 'results'))).toEqual([`${id}-1`])
    expect(readdirSync(join(worker.stateDir, 'results'))).toEqual([])
    await eventually('the body is gone', () => readdirSync(join(gateway.stateDir, 'bodies')).length === 0)
  })

  test('of a gateway that is away are waited for, without an attempt being counted', async () => {
    const gateway = await gatewayMember()
    const { id } = await gateway.lane.submit(submissionOf('work', { body: large }))
    // Another gateway is there; who has the body is not.
    await gateway.members.close()
    const other = await gatewayMember('gateway2')
    const worker = await workerMember('worker01')
    await eventually('it is put back', async () => (await other.lane.record(id))?.error?.code === 'QUEUE_UNAVAILABLE')
    expect(worker.worker.calls).toEqual([])
    expect((await other.lane.record(id))?.attempt).toBe(0)
  })

  test('with other content than was sent are not taken, and nobody gets one without the secret', async () => {
    const gateway = await gatewayMember()
    const worker = await workerMember('worker01')
    await seen(worker, ['gateway1'])
    const name = '01a1fef0-0000-7000-8000-000000000001-1'
    const path = join(worker.stateDir, 'file')
    writeFileSync(path, large)
    const sha256 = createHash('sha256').update(large).digest('hex')
    const wrong = { bytes: large.length, sha256: sha256.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) }
    await expect(worker.files.give('results', name, path, wrong, null)).rejects.toThrow('other content')
    expect(await worker.files.give('results', name, path, { bytes: large.length, sha256 }, null)).toBe('gateway1')
    expect(readFileSync(join(gateway.stateDir, 'results', name)).equals(large)).toBe(true)
    await expect(text(await worker.files.open('gateway1', 'results', name, wrong))).rejects.toThrow('other content')
    await expect(
      worker.files.open('gateway1', 'results', name.replace(/1$/, '2'), { bytes: 1, sha256 }),
    ).rejects.toMatchObject({ code: 'FILE_GONE' })
    for (const headers of [{}, { 'thaw-signature': `${Date.now()}.00` }]) {
      const refused = await fetch(`${gateway.filesUrl}/results/${name}`, { headers })
      expect(refused.status).toBe(401)
    }
  })
})

describe('questions', () => {
  test('are answered by whom they are asked, with his errors', async () => {
    const gateway = await gatewayMember()
    const worker = await workerMember('worker01')
    await seen(gateway, ['worker01'])
    const version = versionOf('work')
    expect(await gateway.view.ask('worker01', 'coldReason', { version })).toBeNull()
    worker.worker.verify = () =>
      Promise.reject(Object.assign(new Error('it throws'), { code: 'FUNCTION_INIT_FAILED', functionStack: 'at x' }))
    await expect(gateway.worker.verify(version)).rejects.toMatchObject({
      code: 'FUNCTION_INIT_FAILED',
      message: 'it throws',
      functionStack: 'at x',
    })
  })

  test('to a worker that is not there fail at once, and a deploy asks the next one', async () => {
    const gateway = await gatewayMember()
    const dead = await workerMember('worker01')
    const alive = await workerMember('worker02')
    await seen(gateway, ['worker01', 'worker02'])
    dead.asks.close()
    await expect(gateway.view.ask('nobody', 'sandboxes', { namespace: null })).rejects.toMatchObject({
      code: 'MEMBER_AWAY',
    })
    let verified = 0
    alive.worker.verify = async () => void verified++
    await eventually('the dead one is not asked any more', async () => {
      await gateway.worker.verify(versionOf('work'))
      return verified > 0
    })
    expect(verified).toBe(1)
  })

  test('to nobody are refused with a sentence that says what to do', async () => {
    const gateway = await gatewayMember()
    await expect(gateway.worker.verify(versionOf('work'))).rejects.toMatchObject({
      code: 'HOST_FULL',
      message: expect.stringContaining('fn worker'),
    })
    expect(gateway.worker.stats().running).toBe(0)
  })
})
