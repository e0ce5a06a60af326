// The front's parsers on anything at all: what they may throw, and what must hold of whatever they let through. The same
// cases each time, unless THAW_TEST_SEED is set; a failure prints seed and smallest case.
import { Readable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TokenCheck } from '../../../gateway/auth/token.ts'
import { GatewayError } from '../../../gateway/errors.ts'
import { namespaceOf, parseCallOptions, prefersAsync } from '../../../gateway/invocation/call-options.ts'
import { addForwarded, readRequestHeaders } from '../../../gateway/invocation/request-headers.ts'
import { filterResponseHeaders } from '../../../gateway/invocation/response-headers.ts'
import {
  hasDotSegments,
  type InvocationTarget,
  parseHostTarget,
  parsePathTarget,
  toOriginForm,
} from '../../../gateway/invocation/target.ts'
import { parseRate } from '../../../gateway/routes/tokens.ts'
import { TarReader } from '../../../gateway/upload/tar-reader.ts'
import { UnitError } from '../../../runtime/api.ts'
import { WorkerError } from '../../../worker/api.ts'
import { RegistryError } from '../../../worker/registry/api.ts'
import { attempt } from '../../support/fuzz.ts'
import { rawLong, rawMember, rawPax, TAR_END } from '../../support/raw-tar.ts'
import { sampleConfig } from '../../support/samples.ts'

const piece = fc.oneof(
  fc.constantFrom(
    '/',
    '/fn/',
    '..',
    '.',
    '%2e',
    '%2F',
    '\\',
    '?',
    '#',
    '@',
    ':',
    '//',
    'http://',
    'h',
    'name',
    '*',
    '%',
    '\0',
  ),
  fc.string({ unit: 'binary', maxLength: 6 }),
)
/** Node's parser lets none of these through in a target; URL parsers drop some of them. */
const UNSENDABLE = /[\p{Cc} ]/u
const target = fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join(''))

describe('targets', () => {
  test('of any bytes are taken apart without loss, or refused', () => {
    fc.assert(
      fc.property(target, fc.boolean(), (text, isFunction) => {
        const url = isFunction ? `/fn/${text}` : `/${text}`
        const found = attempt(() => parsePathTarget(url), GatewayError)
        if (found === null) return
        expect(found.prefix).toBe(`/fn/${found.spec}`)
        expect(found.target.startsWith('/')).toBe(true)
        const rest = url.slice(found.prefix.length)
        expect(found.target).toBe(rest.startsWith('/') ? rest : `/${rest}`)
        expect(found.spec).not.toMatch(/[/?]/)
        expectInside(found)
      }),
      { numRuns: 1500 },
    )
  })

  test('of any host name at most two labels, and never leave', () => {
    const host = fc.array(fc.constantFrom('a', 'B', '.', 'localhost', 'thaw', ':80', '-', '[::1]', ' '), {
      maxLength: 7,
    })
    fc.assert(
      fc.property(host, target, (labels, text) => {
        const found = attempt(() => parseHostTarget(labels.join(''), `/${text}`), GatewayError)
        if (found === null) return
        expect(found.prefix).toBe('')
        expect(found.spec).not.toBe('')
        expect(`${found.spec}${found.namespace ?? ''}`).not.toMatch(/[.A-Z]/)
        expectInside(found)
      }),
      { numRuns: 1500 },
    )
  })

  test('in absolute form become a path of this very host, or nothing', () => {
    fc.assert(
      fc.property(target, fc.constantFrom('h', 'h:80', 'evil', ''), (text, host) => {
        const found = toOriginForm(text, host)
        if (found === null) return
        expect(found.startsWith('/')).toBe(true)
        if (!text.startsWith('/')) expect(text.toLowerCase().includes(`://${host}`)).toBe(true)
        // What the URL standard reads out of a control path is what the gate judged.
        if (hasDotSegments(found) || UNSENDABLE.test(found)) return
        const path = found.split(/[?#]/)[0]!
        if (URL.canParse(`http://h${found}`))
          expect(new URL(`http://h${found}`).pathname.split('/').length).toBe(path.split('/').length)
      }),
      { numRuns: 1000 },
    )
  })
})

/** As a URL parser would read it behind a prefix, a function's path stays behind it. */
function expectInside({ target: inside }: InvocationTarget): void {
  const url = `http://h/p/q${inside}`
  if (!UNSENDABLE.test(inside) && URL.canParse(url)) expect(`${new URL(url).pathname}/`).toMatch(/^\/p\/q\//)
}

const NAMES = [
  ...['Host', 'Connection', 'Keep-Alive', 'TE', 'Trailer', 'Upgrade', 'Transfer-Encoding', 'Content-Length', 'Expect'],
  ...[
    'Authorization',
    'X-Forwarded-For',
    'X-Forwarded-Host',
    'X-Secret',
    'Prefer',
    'Idempotency-Key',
    'Cookie',
    'HTTP2-Settings',
  ],
  ...[
    'Fn-Timeout',
    'Fn-Limit-Memory',
    'Fn-Limit-Pids',
    'Fn-Delay',
    'Fn-Priority',
    'Fn-Callback',
    'Fn-Dispatch',
    'Fn-Metering',
  ],
  ...[
    'Fn-Max-Age',
    'Fn-Max-Attempts',
    'Fn-Chain-Depth',
    'Fn-Namespace',
    'Proxy-Authorization',
    'Service-Worker',
    '__proto__',
  ],
]
const cased = fc
  .tuple(fc.constantFrom(...NAMES), fc.boolean())
  .map(([name, small]) => (small ? name.toLowerCase() : name))
const value = fc.oneof(
  fc.constantFrom(
    'x-secret, host',
    'chunked',
    'gzip, chunked',
    '5',
    '1e9',
    '64m',
    '30s',
    '-1',
    'Bearer fn_abc',
    'bearer  fn_',
    'close',
  ),
  fc.constantFrom(
    'respond-async',
    'wait=5, respond-async;x',
    'durable',
    'trailer',
    'http://127.0.0.1/',
    '0',
    '',
    'Basic fn_x',
  ),
  fc.string({ unit: 'binary', maxLength: 12 }),
)
const headers = fc.array(fc.tuple(cased, value), { maxLength: 12 }).map((pairs) => pairs.flat())

describe('headers', () => {
  const tokens = new TokenCheck('fn_0123456789abcdef')
  const NEVER = new Set([
    ...['connection', 'keep-alive', 'te', 'trailer', 'upgrade', 'expect', 'transfer-encoding', 'http2-settings'],
    ...['proxy-authorization', 'proxy-connection', 'proxy-authenticate'],
  ])

  test('that reach a function are none of the connection’s and none of ours, whatever comes', () => {
    fc.assert(
      fc.property(headers, fc.boolean(), (raw, behindProxy) => {
        const found = readRequestHeaders(raw, tokens)
        addForwarded(found, { address: '192.0.2.1', proto: 'http', prefix: '/fn/a', behindProxy })
        const list = found.headers
        expect(list.length % 2).toBe(0)
        const named = raw
          .flatMap((name, index) => (index % 2 === 0 && name.toLowerCase() === 'connection' ? [raw[index + 1]!] : []))
          .flatMap((text) => text.split(',').map((token) => token.trim().toLowerCase()))
        for (let index = 0; index < list.length; index += 2) {
          const lower = list[index]!.toLowerCase()
          expect(NEVER.has(lower) || lower.startsWith('fn-')).toBe(false)
          if (lower === 'authorization') expect(tokens.isOurs(list[index + 1]!)).toBe(false)
          if (!lower.startsWith('x-forwarded-') && lower !== 'host') expect(named).not.toContain(lower)
        }
        const chains = list.filter((_, index) => index % 2 === 0 && list[index]!.toLowerCase() === 'x-forwarded-for')
        expect(chains).toHaveLength(1)
      }),
      { numRuns: 1000 },
    )
  })

  test('of ours give options or one of the declared errors', () => {
    const config = sampleConfig('hello', { maxLimits: { memory: 256 * 1024 ** 2 } })
    fc.assert(
      fc.property(headers, (raw) => {
        const { own, prefer } = readRequestHeaders(raw, tokens)
        prefersAsync(prefer)
        attempt(() => namespaceOf(own), RegistryError)
        const options = attempt(() => parseCallOptions(own, config), GatewayError)
        if (options === null) return
        expect(options.timeoutMs ?? 1).toBeLessThanOrEqual(config.timeoutMs)
        expect(options.limits.memory ?? 0).toBeLessThanOrEqual(256 * 1024 ** 2)
        for (const number of [options.delayMs, options.priority, options.chainDepth])
          expect(Number.isSafeInteger(number) && number >= 0).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  test('of an answer leave without what would frame or widen it', () => {
    const name = fc.oneof(cased, fc.constantFrom('Service-Worker-Allowed', 'Content-Length', 'X-A', 'x-secret'))
    const list = fc.array(fc.tuple(name, value), { maxLength: 12 }).map((pairs) => pairs.flat())
    fc.assert(
      fc.property(list, (raw) => {
        const { headers: kept, contentLength } = filterResponseHeaders(raw)
        expect(Number.isSafeInteger(contentLength) && contentLength >= -2).toBe(true)
        const names = kept.filter((_, index) => index % 2 === 0).map((each) => each.toLowerCase())
        for (const each of names)
          expect(each).not.toMatch(/^(fn-.*|content-length|transfer-encoding|connection|service-worker-allowed)$/)
      }),
      { numRuns: 1000 },
    )
  })

  test('a rate is a count and a window, or a UnitError', () => {
    fc.assert(
      fc.property(fc.oneof(fc.stringMatching(/^\d{0,12}\/[smhd]?$/), fc.string()), (text) => {
        const rate = attempt(() => parseRate(text), UnitError)
        if (rate !== null) expect(`${rate.count}`).toBe(String(Number(text.split('/')[0])))
      }),
    )
  })
})

describe('a tar', () => {
  const name = fc.constantFrom('fn.json', 'node_modules/a', 'node_modules/../x', '/x', 'node_modules/b/', 'x\\y', '')
  const member = fc
    .record({
      name,
      flag: fc.constantFrom('0', '5', '2', '1', '3', 'x', 'g', 'L', 'K', 'S', '\0'),
      body: fc.string({ maxLength: 700 }),
    })
    .map((parts) => rawMember({ ...parts, linkName: 'c' }))
  const part = fc.oneof(
    member,
    fc
      .dictionary(fc.constantFrom('path', 'linkpath', 'size', 'mtime'), fc.string({ maxLength: 20 }))
      .map((fields) => rawPax(fields)),
    fc.string({ unit: 'binary', maxLength: 300 }).map((text) => rawLong(text)),
    fc.constant(TAR_END),
  )
  const change = fc.tuple(fc.nat(), fc.nat(255))

  test('of any parts, damaged anywhere and cut anyhow, gives safe members or DEPLOY_INVALID, and every byte is read', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(part, { maxLength: 6 }),
        fc.array(change, { maxLength: 3 }),
        fc.integer({ min: 1, max: 2000 }),
        async (parts, changes, size) => {
          const bytes = Buffer.concat(parts)
          for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte
          const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
            bytes.subarray(index * size, (index + 1) * size),
          )
          const reader = new TarReader(Readable.from(chunks))
          try {
            for (let found = await reader.next(); found !== null; found = await reader.next()) {
              expect(found.name.startsWith('/') || found.name.split('/').includes('..')).toBe(false)
              expect(found.name).not.toMatch(/[\0\\\n]/)
              const body = await reader.body(found.name, 1 << 20)
              expect(body.length).toBe(found.size)
            }
            await reader.drain()
          } catch (error) {
            if (!(error instanceof WorkerError && error.code === 'DEPLOY_INVALID')) throw error
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})
