import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { RequestBody } from '../../../../gateway/invocation/request-body.ts'
import { FLOOR_BYTES_PER_S, GRACE_MS, STALL_MS, UploadWatch } from '../../../../gateway/invocation/upload-watch.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

class FakeIncoming extends Readable {
  complete = false
  socket = { bytesRead: 0 }
  override _read(): void {}
  arrive(text: string): void {
    this.socket.bytesRead += text.length
    this.push(text)
  }
  finish(): void {
    this.complete = true
    this.push(null)
  }
  get asRequest(): IncomingMessage {
    return this as unknown as IncomingMessage
  }
}

async function read(body: RequestBody): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

describe('a request’s body as a stream', () => {
  test('passes what comes, to its end', async () => {
    const incoming = new FakeIncoming()
    const text = read(new RequestBody(incoming.asRequest, 100))
    incoming.arrive('one')
    incoming.arrive('two')
    incoming.finish()
    expect(await text).toBe('onetwo')
  })

  test('fails with its own codes above the limit and when the upload breaks off', async () => {
    const long = new FakeIncoming()
    const tooLong = read(new RequestBody(long.asRequest, 5))
    long.arrive('sixsix')
    await expect(tooLong).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
    expect(long.destroyed).toBe(false)
    const short = new FakeIncoming()
    const broken = read(new RequestBody(short.asRequest, 5))
    short.arrive('a')
    short.destroy()
    await expect(broken).rejects.toMatchObject({ code: 'BODY_ABORTED' })
  })

  test('leaves the request alone when its reader destroys it', async () => {
    const incoming = new FakeIncoming()
    const body = new RequestBody(incoming.asRequest, 100)
    body.destroy()
    await EventEmitter.once(body, 'close')
    expect(incoming.destroyed).toBe(false)
    expect(incoming.isPaused()).toBe(true)
    expect(incoming.listenerCount('data')).toBe(0)
  })
})

describe('the watch over uploads', () => {
  test('gives up an upload that stands still, once', async () => {
    const clock = new FakeClock()
    const watch = new UploadWatch(clock)
    let stalled = 0
    watch.add(new FakeIncoming().asRequest, () => stalled++, { mayTrickle: () => true })
    await clock.advance(STALL_MS - 1)
    expect(stalled).toBe(0)
    await clock.advance(10_000)
    await clock.advance(100_000)
    expect(stalled).toBe(1)
  })

  test('lets one live that moves, that nobody reads, or that ended', async () => {
    const clock = new FakeClock()
    const watch = new UploadWatch(clock)
    const [trickling, moving] = [new FakeIncoming(), new FakeIncoming()]
    const [unread, ended] = [new FakeIncoming(), new FakeIncoming()]
    for (const incoming of [trickling, moving, unread, ended])
      watch.add(
        incoming.asRequest,
        () => {
          throw new Error('given up')
        },
        { mayTrickle: () => incoming === trickling },
      )
    unread.arrive('x')
    ended.complete = true
    for (let step = 0; step < 30; step++) {
      trickling.socket.bytesRead++
      moving.socket.bytesRead += FLOOR_BYTES_PER_S * 10
      await clock.advance(10_000)
    }
    watch.close()
    await clock.advance(1_000_000)
  })

  test('gives up one that trickles while nobody reads it as it comes', async () => {
    const clock = new FakeClock()
    const watch = new UploadWatch(clock)
    const incoming = new FakeIncoming()
    let isRead = true
    let stalledAtMs = 0
    watch.add(
      incoming.asRequest,
      () => {
        stalledAtMs = clock.monotonicMs()
      },
      { mayTrickle: () => isRead },
    )
    for (let step = 0; step < 60; step++) {
      incoming.socket.bytesRead += 10
      await clock.advance(1000)
    }
    expect(stalledAtMs).toBe(0)
    isRead = false
    await clock.advance(5000)
    expect(stalledAtMs).toBeGreaterThan(GRACE_MS)
  })

  test('gives up one that is not over in its time, whoever holds it up', async () => {
    const clock = new FakeClock()
    const watch = new UploadWatch(clock)
    const incoming = new FakeIncoming()
    incoming.arrive('x')
    let stalled = 0
    watch.add(incoming.asRequest, () => stalled++, { highestMs: 600_000 })
    await clock.advance(595_000)
    expect(stalled).toBe(0)
    await clock.advance(10_000)
    expect(stalled).toBe(1)
  })
})
