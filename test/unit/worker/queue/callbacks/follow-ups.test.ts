// Follow-ups as values: who is told of which end, when the next try is, what the event says, how it is signed.
import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { InvocationRecord } from '../../../../../worker/api.ts'
import { eventOf, readResponse } from '../../../../../worker/queue/callbacks/event.ts'
import { followUpsOf, planFollowUps, retryAfterMs } from '../../../../../worker/queue/callbacks/plan.ts'
import { createWebhookSecret, webhookSignature } from '../../../../../worker/queue/callbacks/webhook-signature.ts'
import { parseDestination } from '../../../../../worker/registry/destinations.ts'
import { sampleRecord } from '../../../../support/samples.ts'

describe('who is told', () => {
  const plan = { onSuccess: 'next', onFailure: 'https://x.example/f', callback: 'https://x.example/c', depth: 0 }
  const kinds = (state: InvocationRecord['state']) => followUpsOf(state, plan).map(({ kind }) => kind)

  test.each([
    ['succeeded', ['onSuccess', 'callback']],
    ['failed', ['onFailure', 'callback']],
    ['timed-out', ['onFailure', 'callback']],
    ['expired', ['onFailure', 'callback']],
    ['cancelled', ['callback']],
  ] as const)('of a call that %s: %j', (state, told) => {
    expect(kinds(state)).toEqual(told)
  })

  test('a call without destinations carries no plan', () => {
    expect(planFollowUps({}, null, 3)).toBeNull()
    expect(planFollowUps({ onSuccess: 'next' }, null, 3)).toEqual({
      onSuccess: 'next',
      onFailure: null,
      callback: null,
      depth: 3,
    })
  })
})

describe('the next try', () => {
  test('comes later each time and there are nine at most', () => {
    const delays = Array.from({ length: 9 }, (_, index) => retryAfterMs(index + 1, 500, null, 0.5))
    expect(delays).toEqual([1_000, 5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 7_200_000, null])
  })

  test('waits as long as the receiver asks, within two hours', () => {
    expect(retryAfterMs(1, 503, 60_000, 0.5)).toBe(60_000)
    expect(retryAfterMs(1, 503, 24 * 3_600_000, 0.5)).toBe(7_200_000)
  })

  test('does not come when the receiver is gone for good', () => {
    expect(retryAfterMs(1, 410, null, 0.5)).toBeNull()
  })
})

describe('a signature', () => {
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
  const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek'
  const body = Buffer.from('{"test": 2432232314}')

  test("is that of the specification's published example", () => {
    expect(webhookSignature([secret], id, 1614265330, body)).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
  })

  test('is made with each secret while two are in force', () => {
    const other = createWebhookSecret()
    expect(other).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    const key = Buffer.from(other.slice(6), 'base64')
    const own = createHmac('sha256', key).update(`${id}.1614265330.`).update(body).digest('base64')
    expect(webhookSignature([other, secret], id, 1614265330, body).split(' ')).toEqual([
      `v1,${own}`,
      webhookSignature([secret], id, 1614265330, body),
    ])
  })
})

describe('an event', () => {
  const record = sampleRecord('0198c0de-0000-7000-8000-000000000001')
  const eventWith = async (body: string | Buffer, contentType: string, bytes?: number) => {
    const bodyBytes = bytes ?? Buffer.byteLength(body)
    const headers = ['Content-Type', contentType]
    const response = await readResponse(record.id, { status: 200, headers, body: Buffer.from(body), bodyBytes })
    return JSON.parse(String(eventOf('d1', record, response, 2)))
  }

  test('has the attributes CloudEvents requires, and the record as data', async () => {
    const event = await eventWith('{"a":1}', 'application/json')
    expect(event).toMatchObject({
      specversion: '1.0',
      id: 'd1',
      source: 'urn:thaw:function:default:hello',
      type: 'thaw.invocation.succeeded',
      subject: record.id,
      datacontenttype: 'application/json',
      thawdepth: 2,
      data: {
        id: record.id,
        function: 'hello',
        version: 1,
        state: 'succeeded',
        response: { status: 200, body: { a: 1 } },
      },
    })
    expect(Date.parse(event.time)).not.toBeNaN()
    for (const name of Object.keys(event)) expect(name).toMatch(/^[a-z0-9]{1,20}$/)
  })

  test('has text as text, bytes in base64, and of a long response where it lies', async () => {
    expect((await eventWith('hi', 'text/plain')).data.response.body).toBe('hi')
    expect((await eventWith('{no', 'application/json')).data.response.body).toBe('{no')
    expect((await eventWith(Buffer.from([0xff, 0]), 'image/png')).data.response.bodyBase64).toBe('/wA=')
    const long = (await eventWith('x', 'text/plain', 256 * 1024 + 1)).data.response
    expect(long).toMatchObject({ location: `/v1/invocations/${record.id}/result`, bodyBytes: 262_145 })
    expect(long).not.toHaveProperty('body')
  })
})

describe('a destination', () => {
  test('is a function, with an alias maybe, or a URL', () => {
    expect(parseDestination('next')).toEqual({ kind: 'function', name: 'next', reference: null })
    expect(parseDestination('next@prod')).toEqual({ kind: 'function', name: 'next', reference: 'prod' })
    expect(parseDestination('https://x.example/a?b=1')).toMatchObject({ kind: 'url' })
  })

  test.each(['ftp://x', 'https://u:p@x.example/', 'https://x.example/#a', 'Not A Name', 'a@b@c', '', 'http://'])(
    '%j is refused',
    (text) => {
      expect(() => parseDestination(text)).toThrow(/expected|not allowed/)
    },
  )
})
