// Work by key: in order, never two at once, and no failure spreads.
import { expect, test } from 'vitest'
import { Turns } from '../../../../runtime/host/turns.ts'

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

test('work of one key waits for what came before it; that of another does not', async () => {
  const turns = new Turns()
  const said: string[] = []
  let release = () => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  const first = turns.take('a', async () => {
    await held
    said.push('a1')
  })
  const second = turns.take('a', async () => void said.push('a2'))
  await turns.take('b', async () => void said.push('b1'))
  await settle()
  expect(said).toEqual(['b1'])
  release()
  await Promise.all([first, second])
  expect(said).toEqual(['b1', 'a1', 'a2'])
})

test('work that fails fails for its caller alone', async () => {
  const turns = new Turns()
  const failing = turns.take('a', () => Promise.reject(new Error('no')))
  const next = turns.take('a', async () => 'yes')
  await expect(failing).rejects.toThrow('no')
  expect(await next).toBe('yes')
  expect(await turns.take('a', async () => 'again')).toBe('again')
})

test('it is idle when the work of every key is over, also what failed', async () => {
  const turns = new Turns()
  let over = 0
  const failing = turns.take('a', async () => {
    await settle()
    over++
    throw new Error('no')
  })
  const fine = turns.take('b', async () => {
    await settle()
    over++
  })
  failing.catch(() => {})
  await turns.idle()
  expect(over).toBe(2)
  await fine
})
