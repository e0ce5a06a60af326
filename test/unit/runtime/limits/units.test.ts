// Sizes and durations as people write them.
import { describe, expect, test } from 'vitest'
import {
  formatBytes,
  formatDuration,
  parseBytes,
  parseDurationMs,
  UnitError,
} from '../../../../runtime/limits/units.ts'

describe('sizes', () => {
  test.each([
    ['0', 0],
    ['1048576', 1024 ** 2],
    ['64m', 64 * 1024 ** 2],
    ['30MB', 30 * 1024 ** 2],
    ['2KiB', 2048],
    ['1.5g', 1.5 * 1024 ** 3],
    ['1 t', 1024 ** 4],
    ['100b', 100],
  ])('%s is %d bytes', (text, bytes) => expect(parseBytes(text)).toBe(bytes))

  test.each(['', '-1', 'm', '64mm', '1e3', '0x10', '9999999999t', '64 m b'])('%j is no size', (text) => {
    expect(() => parseBytes(text)).toThrow(UnitError)
  })

  test.each([
    [0, '0b'],
    [1023, '1023b'],
    [1024, '1k'],
    [1536, '1.5k'],
    [1025 * 1024, '1025k'],
    [128 * 1024 ** 2, '128m'],
    [1.5 * 1024 ** 3, '1.5g'],
    [100_000_001, '95.4m'],
    [-1, '-1'],
  ])('%d bytes are written %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text))
})

describe('durations', () => {
  test.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['0.5s', 500],
    ['5m', 300_000],
    ['6h', 21_600_000],
    ['1d', 86_400_000],
    ['0', 0],
  ])('%s is %d ms', (text, ms) => expect(parseDurationMs(text)).toBe(ms))

  test.each(['', '30', '-1s', '5 minutes', 's', '900000000000m'])('%j is no duration', (text) => {
    expect(() => parseDurationMs(text)).toThrow(UnitError)
  })

  test.each([
    [0, '0ms'],
    [250, '250ms'],
    [1.25, '1.3ms'],
    [1500, '1500ms'],
    [30_000, '30s'],
    [300_000, '5m'],
    [21_600_000, '6h'],
    [12_345, '12.3s'],
  ])('%d ms are written %s', (ms, text) => expect(formatDuration(ms)).toBe(text))
})
