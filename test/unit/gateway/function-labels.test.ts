import { expect, test } from 'vitest'
import { FunctionLabelBook } from '../../../gateway/function-labels.ts'

test('a function has the same labels each time', () => {
  const book = new FunctionLabelBook()
  expect(book.of('shop', 'hello')).toEqual({ namespace: 'shop', function: 'hello' })
  expect(book.of('shop', 'hello')).toBe(book.of('shop', 'hello'))
})

test('functions that come and go make no more series than the most; one namespace takes half of them at most', () => {
  const book = new FunctionLabelBook(10)
  const seen = new Set<object>()
  for (let index = 0; index < 1000; index++) seen.add(book.of('evil', `f${index}`))
  expect(seen.size).toBe(6)
  expect(book.of('evil', 'f999')).toEqual({ namespace: 'evil', function: '_other' })
  expect(book.of('good', 'hello')).toEqual({ namespace: 'good', function: 'hello' })
  for (let index = 0; index < 1000; index++) seen.add(book.of(`ns${index}`, 'hello'))
  expect(seen.size).toBeLessThan(20)
  expect(book.of('ns999', 'hello')).toEqual({ namespace: '_other', function: '_other' })
})
