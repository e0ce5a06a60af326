// Which functions become of a stem, and how many stems to keep: tables of the pure policy.
import { describe, expect, test } from 'vitest'
import type { FunctionConfig } from '../../../../worker/api.ts'
import {
  BURST_MS,
  DEFAULT_KIND,
  KIND_KEPT_MS,
  nextKind,
  type StemDemand,
  stemFits,
  stemKindOf,
  stemTarget,
} from '../../../../worker/pool/stem-policy.ts'
import { limitsWith } from '../../../support/fake-runtime.ts'
import { sampleConfig } from '../../../support/samples.ts'

const MIB = 1024 ** 2
const kindOf = (limits: Parameters<typeof limitsWith>[0]) =>
  stemKindOf(sampleConfig('f', { limits: limitsWith(limits) }))

describe('the kind of stem a function starts from', () => {
  test('is the default kind for the default limits', () => {
    expect(kindOf({})).toEqual(DEFAULT_KIND)
  })

  test('is shared by memory limits of one class, and by every limit that is written at load', () => {
    expect(kindOf({ memory: 130 * MIB, cpus: 0.25, pids: 20, cpuShares: 2, blkioWeight: 100 })).toEqual(DEFAULT_KIND)
    expect(kindOf({ memory: 256 * MIB })).toMatchObject({ memoryBytes: 256 * MIB })
  })

  test.each([
    ['writableRoot', { writableRootBytes: MIB }],
    ['scratch', { limits: limitsWith({ scratch: 8 * MIB }) }],
    ['volumes', { volumes: [{ kind: 'tmpfs', path: '/cache', sizeBytes: MIB }] } as Partial<FunctionConfig>],
    ['tmpfs', { limits: limitsWith({ tmpfs: MIB }) }],
    ['ulimits', { limits: limitsWith({ ulimits: [{ name: 'nofile', soft: 9, hard: 9 }] }) }],
  ])('does not exist with %s, and the reason names it', (name, changes) => {
    expect(stemKindOf(sampleConfig('f', changes))).toMatch(new RegExp(name))
  })
})

const demand = (changes: Partial<StemDemand> = {}): StemDemand => ({
  isDefault: false,
  sinceAskedMs: 0,
  recentStarts: 0,
  ready: 0,
  ...changes,
})

describe('how many stems are kept', () => {
  test.each([
    ['the setting, when nothing happens', demand({ isDefault: true, sinceAskedMs: Infinity }), 2, 2],
    ['none of a kind nobody asked for lately', demand({ sinceAskedMs: KIND_KEPT_MS + 1 }), 2, 0],
    ['the setting, of a kind asked for', demand({ sinceAskedMs: BURST_MS * 2 }), 2, 2],
    ['as many as a burst took', demand({ recentStarts: 5 }), 2, 5],
    ['at most four times the setting', demand({ recentStarts: 100 }), 2, 8],
    ['none when they are off', demand({ isDefault: true, recentStarts: 100 }), 0, 0],
  ])('%s', (_title, view, base, expected) => {
    expect(stemTarget(view, base)).toBe(expected)
  })

  test('the kind furthest below its target comes next; none when all have theirs', () => {
    const one = demand({ ready: 1 })
    const other = demand({ ready: 0 })
    expect(nextKind([one, other], 2)).toBe(other)
    expect(nextKind([demand({ ready: 2 }), demand({ ready: 3 })], 2)).toBeNull()
    expect(nextKind([one], 0)).toBeNull()
  })
})

describe('room for one more stem', () => {
  const room = { memoryBytes: 4096 * MIB, freeBytes: 4096 * MIB, stemBytes: 0, freePlaces: 100 }
  test.each([
    ['an empty host', {}, true],
    ['no place left for the next sandbox', { freePlaces: 1 }, false],
    ['no memory left for the next sandbox', { freeBytes: 191 * MIB }, false],
    ['stems that hold their share already', { stemBytes: 460 * MIB }, false],
    ['a small host takes one all the same', { memoryBytes: 256 * MIB, freeBytes: 256 * MIB }, true],
  ])('%s', (_title, changes, fits) => {
    expect(stemFits(128 * MIB, 64 * MIB, { ...room, ...changes })).toBe(fits)
  })
})
