import { expect, test } from 'vitest'
import { turnMs } from '../../../../worker/fleet/turns.ts'

const workers = ['a1', 'b2', 'c3', 'd4']
const functions = Array.from({ length: 400 }, (_, index) => `default/f${index}`)
const firstOf = (key: string, among: readonly string[]) => among.find((id) => turnMs(key, id, among) === 0)

test('every function has exactly one worker that asks first, and the others follow one by one', () => {
  for (const key of functions) {
    const turns = workers.map((id) => turnMs(key, id, workers)).sort((a, b) => a - b)
    expect(turns).toEqual([0, 15, 30, 45])
  }
})

test('functions are spread over the workers', () => {
  const counts = workers.map((id) => functions.filter((key) => firstOf(key, workers) === id).length)
  for (const count of counts) expect(count).toBeGreaterThan(functions.length / workers.length / 2)
})

test('a worker that leaves moves its own functions and no others', () => {
  const left = workers.slice(1)
  for (const key of functions) {
    const before = firstOf(key, workers)
    if (before !== workers[0]) expect(firstOf(key, left)).toBe(before)
  }
})

test('a worker alone, or one that nobody sees yet, asks at once', () => {
  expect(turnMs('default/f', 'a1', ['a1'])).toBe(0)
  expect(turnMs('default/f', 'a1', [])).toBe(0)
})

test('nobody waits long, however many there are', () => {
  const many = Array.from({ length: 50 }, (_, index) => `w${index}`)
  expect(Math.max(...many.map((id) => turnMs('default/f', id, many)))).toBe(60)
})
