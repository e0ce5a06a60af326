import { expect, test } from 'vitest'
import { NameIndex } from '../../../../worker/registry/name-index.ts'
import { NewsOrder } from '../../../../worker/registry/news-order.ts'
import { editDistance, suggest } from '../../../../worker/registry/suggest.ts'

function indexOf(names: Iterable<string>): NameIndex {
  const index = new NameIndex()
  for (const name of names) index.add(name)
  return index
}

test('pages follow one another through all names, whatever was added and removed before', () => {
  const index = indexOf(Array.from({ length: 1000 }, (_, i) => `n${(i * 7919) % 1000}`))
  for (let i = 0; i < 1000; i += 3) index.delete(`n${i}`)
  index.add('n1')
  const seen: string[] = []
  for (let page = index.after(null, 50); page.length > 0; page = index.after(seen.at(-1) ?? null, 50))
    seen.push(...page)
  expect(seen).toEqual([...index.all()])
  expect(seen).toEqual([...seen].sort())
  expect([seen.length, index.size, index.has('n1'), index.has('n3')]).toEqual([666, 666, true, false])
  expect(index.after('n1x', 2)).toEqual([...index.all()].filter((name) => name > 'n1x').slice(0, 2))
})

test('any order of adding and removing gives the names that are left, in order', () => {
  const index = new NameIndex()
  const names = new Set<string>()
  let state = 7
  for (let step = 0; step < 20_000; step++) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    const name = `n${state % 3000}`
    if (state % 5 < 3) {
      index.add(name)
      names.add(name)
    } else {
      index.delete(name)
      names.delete(name)
    }
  }
  expect(index.all()).toEqual([...names].sort())
  expect(index.size).toBe(names.size)
  for (let n = 0; n < 3000; n += 7) expect(index.has(`n${n}`)).toBe(names.has(`n${n}`))
})

test('the name meant by a mistyped one is found among ten thousand by a look at 32', () => {
  const words = Array.from({ length: 10_000 }, (_, i) => `${(i * 104_729).toString(36)}-${i.toString(36)}-handler`)
  const index = indexOf([...words, 'checkout-service'])
  for (const typed of [
    'checkout-servce',
    'chekout-service',
    'hceckout-service',
    'xcheckout-service',
    'checkout-servicd',
  ]) {
    const near = index.near(typed)
    expect(near.length).toBeLessThanOrEqual(32)
    expect(suggest(typed, near)).toBe('checkout-service')
  }
})

test('a distance up to a bound is the one without a bound', () => {
  const words = ['hello', 'helo', 'hlelo', 'thumbnail', 'thumbnial', 'x', '', 'hello-world', 'ehllo']
  for (const a of words)
    for (const b of words)
      for (const most of [0, 1, 2, 3]) expect(editDistance(a, b, most)).toBe(Math.min(editDistance(a, b), most + 1))
})

test('news is read once, whoever made the change and in whatever order it is heard of', () => {
  const order = new NewsOrder()
  order.reset(10)
  expect(order.heard(10)).toBe('none')
  expect(order.heard(11)).toBe('one')
  order.made(13)
  expect([order.epoch, order.newest]).toEqual([11, 13])
  expect(order.heard(12)).toBe('one')
  expect(order.epoch).toBe(13)
  expect(order.heard(13)).toBe('none')
  expect(order.heard(15)).toBe('all')
  order.reset(15)
  expect([order.heard(15), order.heard(16)]).toEqual(['none', 'one'])
})
