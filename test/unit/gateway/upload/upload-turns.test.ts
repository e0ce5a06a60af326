import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import type { GatewayResponse } from '../../../../gateway/response.ts'
import { UploadTurns } from '../../../../gateway/upload/upload-turns.ts'
import { settle } from '../../../support/fake-clock.ts'

/** Asks for a turn; `begun` says whether it came. */
function ask(turns: UploadTurns, namespace: string) {
  const client = new EventEmitter()
  const asked = { begun: false, client, release: (): void => {}, failure: null as unknown }
  turns.take(namespace, client as unknown as GatewayResponse).then(
    (release) => Object.assign(asked, { begun: true, release }),
    (failure) => Object.assign(asked, { failure }),
  )
  return asked
}

test('eight uploads are taken at once, four of one namespace, and the rest in order of arrival', async () => {
  const turns = new UploadTurns()
  const busy = Array.from({ length: 6 }, () => ask(turns, 'busy'))
  const other = Array.from({ length: 5 }, (_, index) => ask(turns, `other-${index}`))
  await settle()
  expect(busy.map(({ begun }) => begun)).toEqual([true, true, true, true, false, false])
  expect(other.map(({ begun }) => begun)).toEqual([true, true, true, true, false])
  busy[0]!.release()
  busy[0]!.release()
  await settle()
  expect([busy[4]!.begun, busy[5]!.begun, other[4]!.begun]).toEqual([true, false, false])
  other[0]!.release()
  await settle()
  expect([busy[5]!.begun, other[4]!.begun]).toEqual([false, true])
})

test('a caller that leaves while it waits is forgotten, and beyond 64 that wait the next is refused', async () => {
  const turns = new UploadTurns()
  const waiting = Array.from({ length: 68 }, () => ask(turns, 'busy')).slice(4)
  const refused = ask(turns, 'busy')
  await settle()
  expect([turns.waiting, refused.failure]).toEqual([64, expect.objectContaining({ code: 'HOST_FULL' })])
  waiting[0]!.client.emit('close')
  await settle()
  expect([turns.waiting, waiting[0]!.failure]).toEqual([63, expect.objectContaining({ code: 'CLIENT_GONE' })])
})

test('a namespace whose deploys fill the queue keeps no other out of it', async () => {
  const turns = new UploadTurns()
  for (let count = 0; count < 68; count++) ask(turns, 'evil')
  const others = Array.from({ length: 5 }, () => ask(turns, 'good'))
  await settle()
  expect(others.map(({ begun, failure }) => [begun, failure])).toEqual([
    ...Array.from({ length: 4 }, () => [true, null]),
    [false, null],
  ])
  const more = ask(turns, 'evil')
  await settle()
  expect(more.failure).toMatchObject({ code: 'HOST_FULL' })
})
