import { expect, test } from 'vitest'
import { type MemberCard, Members } from '../../../../worker/fleet/members.ts'
import type { RedisStore } from '../../../../worker/store/connect.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { silentLogger } from '../../../support/real-clock.ts'

const card = (id: string) => ({ id, role: 'gateway', hostName: 'here', machine: null, filesUrl: null }) as MemberCard

test('a card nobody can read hides no other', async () => {
  const rows = [
    'garbage',
    '',
    'null',
    '',
    '{"role":"worker"}',
    '',
    JSON.stringify({ ...card('three'), machine: undefined }),
    '',
    JSON.stringify({ ...card('four'), machine: { cores: 2 } }),
    '',
    JSON.stringify(card('five')),
    '{"running":"2"}',
    JSON.stringify(card('two')),
    '{',
    JSON.stringify(card('one')),
    'null',
  ]
  const redis = { script: async () => rows, subscribe: () => () => {}, onAvailable: () => () => {} }
  const members = await new Members({
    redis: redis as unknown as RedisStore,
    card: card('self'),
    load: () => null,
    clock: new FakeClock(),
    logger: silentLogger,
  }).open()
  expect(members.list().map(({ id }) => id)).toEqual(['one'])
  await members.close()
})
