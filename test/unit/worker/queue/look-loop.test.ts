import { expect, test } from 'vitest'
import { LookLoop } from '../../../../worker/queue/look-loop.ts'
import { FakeClock, settle } from '../../../support/fake-clock.ts'
import { SILENT } from '../../../support/fake-gateway-parts.ts'

function looking(work: (look: number) => Promise<number>) {
  const clock = new FakeClock()
  const seen = { looks: 0 }
  const loop = new LookLoop({ clock, logger: SILENT, what: 'things', work: () => work(++seen.looks) })
  return { clock, loop, seen }
}

test('looks again when the last look said that something will be due', async () => {
  const { clock, loop, seen } = looking(async () => 5_000)
  loop.look()
  await settle()
  await clock.advance(4_999)
  expect(seen.looks).toBe(1)
  await clock.advance(1)
  expect(seen.looks).toBe(2)
  await loop.close()
})

test('news during a look means one more, never two at once', async () => {
  let end = (): void => {}
  const { clock, loop, seen } = looking((look) =>
    look === 1 ? new Promise((resolve) => (end = () => resolve(60_000))) : Promise.resolve(60_000),
  )
  loop.look()
  loop.look()
  loop.look()
  expect(seen.looks).toBe(1)
  end()
  await settle()
  await clock.advance(0)
  expect(seen.looks).toBe(2)
  await loop.close()
})

test('a look that fails is made again after a second, none after close', async () => {
  const { clock, loop, seen } = looking(async () => {
    throw new Error('Redis is away')
  })
  loop.look()
  await settle()
  await clock.advance(1_000)
  expect(seen.looks).toBe(2)
  await loop.close()
  await clock.advance(10_000)
  loop.look()
  await settle()
  expect(seen.looks).toBe(2)
})
