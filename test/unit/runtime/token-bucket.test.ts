import { expect, test } from 'vitest'
import { TokenBucket } from '../../../runtime/token-bucket.ts'

const RATE = { perSecond: 10, capacity: 20 }

test('a bucket is full at first, gives what it holds, and says when there will be more', () => {
  const bucket = new TokenBucket(RATE, 0)
  for (let taken = 0; taken < 20; taken++) expect(bucket.take(1, RATE, 0)).toBe(0)
  expect(bucket.take(1, RATE, 0)).toBe(100)
  expect(bucket.take(3, RATE, 0)).toBe(300)
  expect(bucket.take(1, RATE, 100)).toBe(0)
  expect(bucket.take(1, RATE, 100)).toBe(100)
})

test('it never holds more than its capacity, however long it rests', () => {
  const bucket = new TokenBucket(RATE, 0)
  expect(bucket.left(RATE, 1_000_000)).toBe(20)
})

test('more than it holds is taken from a full one, which owes the rest', () => {
  const bucket = new TokenBucket(RATE, 0)
  expect(bucket.take(50, RATE, 0)).toBe(0)
  expect(bucket.left(RATE, 0)).toBe(-30)
  expect(bucket.take(1, RATE, 3000)).toBe(100)
})

test('a rate that changes counts from then on', () => {
  const bucket = new TokenBucket(RATE, 0)
  bucket.take(20, RATE, 0)
  const slower = { perSecond: 1, capacity: 2 }
  expect(bucket.take(1, slower, 0)).toBe(1000)
  expect(bucket.left(slower, 60_000)).toBe(2)
})
