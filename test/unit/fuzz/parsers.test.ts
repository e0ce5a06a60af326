// What people and sandboxes write, on anything at all: sizes, durations, limits, fn.json, cron, volumes, destinations, frames.
// Each either gives a value that reads the same when written out, or throws its declared error.
// The same cases each time, unless THAW_TEST_SEED is set; a failure prints seed and smallest case.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  DEFAULT_LIMITS,
  formatBytes,
  formatDuration,
  LIMITS,
  LimitError,
  lowerLimits,
  mergeLimits,
  parseBytes,
  parseDurationMs,
  parseLimit,
  UnitError,
} from '../../../runtime/api.ts'
import { FrameDecoder } from '../../../runtime/protocol/decoder.ts'
import {
  FRAME_HEADER_BYTES,
  MAX_PAYLOAD_BYTES,
  ProtocolError,
  SANDBOX_FRAMES,
} from '../../../runtime/protocol/frames.ts'
import { bodyOffset, parseResponseHead } from '../../../runtime/protocol/heads.ts'
import { parseExit, parseFault, parseLog } from '../../../runtime/protocol/messages.ts'
import { QueueError } from '../../../worker/queue/api.ts'
import { parseCron } from '../../../worker/queue/schedules/cron.ts'
import { RegistryError } from '../../../worker/registry/api.ts'
import { parseFunctionConfig } from '../../../worker/registry/config.ts'
import { parseDestination } from '../../../worker/registry/destinations.ts'
import { conflictOf, parseVolume } from '../../../worker/registry/volume-text.ts'
import { attempt } from '../../support/fuzz.ts'

const text = (characters: string, maxLength = 12) =>
  fc.array(fc.constantFrom(...characters), { maxLength }).map((letters) => letters.join(''))

describe('sizes and durations', () => {
  test('come back from their own spelling, exact where one decimal is enough', () => {
    fc.assert(
      fc.property(fc.nat(20_000), fc.constantFrom(1, 1024, 1024 ** 2, 1024 ** 3), (count, unit) => {
        const bytes = count * unit
        expect(Math.abs(parseBytes(formatBytes(bytes)) - bytes)).toBeLessThanOrEqual(bytes / 20)
        if (count < 1024) expect(parseBytes(formatBytes(bytes))).toBe(bytes)
        expect(parseBytes(String(bytes))).toBe(bytes)
      }),
    )
    fc.assert(
      fc.property(fc.nat(999), fc.constantFrom(1, 1000, 60_000, 3_600_000), (count, unit) => {
        const ms = count * unit
        expect(Math.abs(parseDurationMs(formatDuration(ms)) - ms)).toBeLessThanOrEqual(ms / 20)
      }),
    )
  })

  const number = fc.stringMatching(/^\d{1,25}(\.\d{1,5})?(ms|s|m|h|d|k|gib|t)?$/)
  test('are whole numbers that are safe to count with, or a UnitError', () => {
    fc.assert(
      fc.property(fc.oneof(number, text('0123456789.eE+-xkKmMgGtTbBiIsShHdD ', 24), fc.string()), (written) => {
        for (const parse of [parseBytes, parseDurationMs]) {
          const value = attempt(() => parse(written), UnitError)
          if (value !== null) expect(Number.isSafeInteger(value) && value >= 0, `${parse.name} ${written}`).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
  })
})

describe('limits', () => {
  const name = fc.constantFrom(...LIMITS.map((limit) => limit.name), 'unknown', '__proto__')
  const value = fc.oneof(
    text('0123456789.-,:/=kmg /dev/sdanofilenproc', 16),
    fc.constantFrom('64m', '0', '-1', '1.5', '0-1', '0,1', 'nofile=1:2', '/tmp:64m', '/dev/loop0:1m', '9'.repeat(20)),
    fc.double(),
    fc.jsonValue({ maxDepth: 2 }),
  )

  test('of any value are a limit that is taken again as it is, or a LimitError', () => {
    fc.assert(
      fc.property(name, value, (limit, written) => {
        const parsed = attempt(() => parseLimit(limit, written), LimitError)
        if (typeof parsed === 'number') expect(Number.isFinite(parsed)).toBe(true)
        if (typeof parsed === 'number' || typeof parsed === 'string') expect(parseLimit(limit, parsed)).toEqual(parsed)
      }),
      { numRuns: 2000 },
    )
  })

  test('of a call are never above those of its function', () => {
    const asked = fc.record(
      {
        memory: fc.integer({ min: 16 * 1024 ** 2, max: 1024 ** 3 }),
        memorySwap: fc.oneof(fc.constant(-1), fc.integer({ min: 16 * 1024 ** 2, max: 2 * 1024 ** 3 })),
        cpuShares: fc.integer({ min: 2, max: 262_144 }),
        pids: fc.integer({ min: 1, max: 4096 }),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(asked, asked, (functions, calls) => {
        const own = attempt(() => mergeLimits(DEFAULT_LIMITS, functions), LimitError)
        const call = own === null ? null : attempt(() => lowerLimits(own, {}, calls), LimitError)
        if (own === null || call === null) return
        for (const limit of ['memory', 'cpuShares', 'pids'] as const)
          expect(call[limit]).toBeLessThanOrEqual(own[limit])
        if (own.memorySwap !== -1) expect(call.memorySwap !== -1 && call.memorySwap <= own.memorySwap).toBe(true)
        expect(call.memorySwap === -1 || call.memorySwap >= call.memory).toBe(true)
      }),
      { numRuns: 1500 },
    )
  })
})

describe('what is deployed', () => {
  const key = fc.constantFrom(
    ...[
      'name',
      'entry',
      'form',
      'timeout',
      'initTimeout',
      'concurrency',
      'sandboxConcurrency',
      'minWarm',
      'keepAlive',
      'env',
    ],
    ...[
      'secrets',
      'volumes',
      'network',
      'allowHosts',
      'limits',
      'maxLimits',
      'rate',
      'retry',
      'onSuccess',
      'onFailure',
      'public',
    ],
    ...[
      'isolation',
      'leftovers',
      'freezeGrace',
      'writableRoot',
      'runtime',
      '__proto__',
      'constructor',
      'memory',
      'tiemout',
    ],
  )
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom(
      '30s',
      '64m',
      'web',
      'lambda',
      'bridge',
      'call',
      true,
      5,
      -1,
      ['data:/data'],
      ['A_B'],
      { A: 'b' },
      { attempts: 3 },
    ),
    fc.dictionary(fc.constantFrom('memory', 'pids', '__proto__', 'toString', 'A'), fc.jsonValue({ maxDepth: 1 })),
  )
  const manifest = fc.array(fc.tuple(key, value), { maxLength: 6 }).map((pairs) => {
    const fields = pairs.map(([name, what]) => `${JSON.stringify(name)}: ${JSON.stringify(what)}`)
    return JSON.parse(`{${fields.join(', ')}}`) as unknown
  })

  test('gives a whole configuration or a list of what is wrong, and touches no prototype', () => {
    fc.assert(
      fc.property(fc.oneof(manifest, fc.jsonValue()), (written) => {
        const config = attempt(() => parseFunctionConfig(written, 'name'), RegistryError)
        expect(({} as Record<string, unknown>).memory).toBe(undefined)
        if (config === null) return
        expect(config.name).toBe('name')
        expect([config.timeoutMs, config.concurrency, config.limits.memory].every((each) => each > 0)).toBe(true)
        expect(JSON.parse(JSON.stringify(config))).toEqual(config)
      }),
      { numRuns: 500 },
    )
  })

  test('names volumes that lie inside and do not hide each other, or a UnitError', () => {
    const part = fc.constantFrom(
      'data',
      '/data',
      '/',
      '..',
      'tmpfs',
      ':',
      'ro',
      'rw',
      'size=',
      '64m',
      '-1',
      '/proc',
      ' ',
      '\n',
      'A',
    )
    const written = fc.array(part, { maxLength: 7 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(fc.array(written, { maxLength: 4 }), (all) => {
        const volumes = all.flatMap((one) => attempt(() => parseVolume(one), UnitError) ?? [])
        for (const { path } of volumes) expect(path).toMatch(/^(\/[^/\s]+)+$/)
        for (const { path } of volumes) expect(path.split('/')).not.toContain('..')
        conflictOf(volumes)
      }),
      { numRuns: 800 },
    )
  })

  test('names destinations that are functions or plain URLs, or says what was expected', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          text('htps:/@.a-1#?[]%\\ ', 24),
          text('htps:/@.a-1#', 10).map((rest) => `https://a.b${rest}`),
          fc.string(),
        ),
        (written) => {
          let found: ReturnType<typeof parseDestination>
          try {
            found = parseDestination(written)
          } catch (error) {
            expect((error as Error).message).toMatch(/expected|not allowed/)
            return
          }
          if (found.kind === 'url') expect(found.url.username + found.url.password + found.url.hash).toBe('')
          else expect(found.name).toMatch(/^[a-z0-9-]{1,63}$/)
        },
      ),
      { numRuns: 300 },
    )
  })
})

test('cron of any text fires later than now and soon found, or is refused as SCHEDULE_INVALID', () => {
  const field = fc.oneof(
    fc.constantFrom('*', '*/5', '0', '59', '1-5', 'L', '?', 'MON#2', '15W', 'JAN', '60', '*/0', '5-1'),
    text('0123456789*/,-LW#?', 6),
  )
  const written = fc.oneof(
    fc.array(field, { minLength: 4, maxLength: 7 }).map((fields) => fields.join(' ')),
    fc.constantFrom('@daily', '@reboot', '@never', '', '0 0 30 2 *'),
    fc.string(),
  )
  const nowMs = Date.UTC(2026, 0, 31, 12)
  fc.assert(
    fc.property(
      written,
      fc.constantFrom('UTC', 'Europe/Zurich', 'America/St_Johns', 'Nowhere', '../etc'),
      (expression, zone) => {
        const times = attempt(() => parseCron(expression, zone, nowMs), QueueError)
        const next = times?.after(nowMs) ?? null
        if (times === null || next === null) return
        expect(next).toBeGreaterThan(nowMs)
        expect(times.upTo(next)).toBe(next)
      },
    ),
    { numRuns: 150 },
  )
})

describe('what a sandbox says', () => {
  test('in any bytes, in any pieces, is frames within their limits, or a ProtocolError', () => {
    const header = fc.tuple(fc.nat(MAX_PAYLOAD_BYTES + 10), fc.nat(20), fc.nat(3)).map(([length, type, invocation]) => {
      const bytes = Buffer.alloc(FRAME_HEADER_BYTES)
      bytes.writeUInt32LE(length, 0)
      bytes[4] = type
      bytes.writeUInt32LE(invocation, 5)
      return bytes
    })
    const chunk = fc.oneof(
      header,
      fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
    )
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 30 }), (chunks) => {
        let given = 0
        const sent = chunks.reduce((sum, { length }) => sum + length, 0)
        const decoder = new FrameDecoder(SANDBOX_FRAMES, (type, _invocation, payload) => {
          given += FRAME_HEADER_BYTES + payload.length
          expect(payload.length).toBeLessThanOrEqual((SANDBOX_FRAMES as Record<number, number>)[type]!)
        })
        attempt(() => {
          for (const bytes of chunks) decoder.push(bytes)
        }, ProtocolError)
        expect(given).toBeLessThanOrEqual(sent)
      }),
      { numRuns: 1000 },
    )
  })

  test('inside a frame is a head, a fault, an exit or a line, or a ProtocolError', () => {
    const payload = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.jsonValue({ maxDepth: 2 }).map((json) => Buffer.from(JSON.stringify(json))),
      fc.tuple(fc.nat(255), fc.nat(300), text('0123456789\n\r\0: aÿ', 60)).map(([flags, length, head]) => {
        const bytes = Buffer.alloc(5 + head.length)
        bytes[0] = flags
        bytes.writeUInt32LE(length, 1)
        bytes.write(head, 5, 'latin1')
        return bytes
      }),
    )
    fc.assert(
      fc.property(payload, (bytes) => {
        const head = attempt(() => parseResponseHead(bytes, bodyOffset(bytes)), ProtocolError)
        if (head !== null) expect(head.status >= 100 && head.status < 600 && head.headers.length % 2 === 0).toBe(true)
        for (const parse of [parseFault, parseExit, parseLog]) attempt(() => parse(bytes), ProtocolError)
      }),
      { numRuns: 2000 },
    )
  })
})
