// Requests that are wrong in one way each, drawn from a seed: what parsers of HTTP have been led astray with (RFC 9112 sections
// 2.2, 3.2, 5.2, 6, 7.1, 9.3, 11.2). Makes bytes and says what may come back; sends nothing.
import type { RawExchange } from './raw-exchange.ts'

/** A request that must never be answered: it lies inside another one's body, or behind what cannot be framed. */
export const WITNESS_PATH = '/fn/witness/smuggled'
const WITNESS = `GET ${WITNESS_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n`

export interface MalformedRequest {
  /** Which way of being wrong. */
  readonly kind: string
  readonly bytes: Buffer
  /** Status of the one answer; empty: none is needed. */
  readonly statuses: readonly number[]
  /** `closes`: the server must let no other request follow. `cut`: the client ends its side, for more would be waited for.
   *  `stays`: the request is refused or served, but framed well: the next one is a request again. */
  readonly end: 'closes' | 'cut' | 'stays'
}

/** Draws of one seed. */
export class Draw {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A whole number from 0 to `below` − 1 (mulberry32). */
  next(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }

  of<T>(list: readonly T[]): T {
    return list[this.next(list.length)]!
  }

  text(characters: string, length: number): string {
    return Array.from({ length }, () => characters[this.next(characters.length)]).join('')
  }
}

type Kind = (draw: Draw) => Omit<MalformedRequest, 'kind' | 'bytes'> & { readonly text: string }

const TARGETS = ['/fn/echo/a', '/v1/functions', '/healthz', '/fn/nobody', '/']
const CONTROLS = Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)).filter((c) => !'\t\r\n'.includes(c))

const request = (first: string, headers: readonly string[], body = ''): string =>
  `${[first, ...headers].join('\r\n')}\r\n\r\n${body}`
const post = (draw: Draw, headers: readonly string[], body: string): string =>
  request(`POST ${draw.of(TARGETS)} HTTP/1.1`, ['Host: localhost', ...headers], body)
const get = (draw: Draw, ...headers: string[]): string => request(`GET ${draw.of(TARGETS)} HTTP/1.1`, headers)
const closing = (text: string, ...statuses: number[]) =>
  ({ text, statuses: statuses.length > 0 ? statuses : [400], end: 'closes' }) as const
const staying = (text: string, ...statuses: number[]) => ({ text, statuses, end: 'stays' }) as const
const cut = (text: string, ...statuses: number[]) => ({ text, statuses, end: 'cut' }) as const

/** A fault in the body: what its head alone is refused with comes first. */
const IN_BODY = [400, 401, 404, 405, 413]
const CHUNKED = 'Transfer-Encoding: chunked'
const WHOLE = `${WITNESS.length.toString(16)}\r\n${WITNESS}\r\n0\r\n\r\n`
const LENGTHS = ['+5', '-1', '0x5', '5 5', '5,5', '5, 6', '1e2', '', '18446744073709551617', '9'.repeat(30), '5;', '٣']
const CODINGS = [
  'xchunked',
  'chunked, identity',
  'identity',
  'gzip, chunked',
  'chunked, chunked',
  '"chunked"',
  'chunke\x0bd',
]
const SIZES = ['-1', '0x10', 'g', '', ' 5', '5 5', 'FFFFFFFFFFFFFFFFF', '1'.repeat(40), '+5', '5\x00', '5\n']

/** All ways of being wrong, by name. */
export const KINDS: Readonly<Record<string, Kind>> = {
  'length and coding': (draw) =>
    closing(
      post(
        draw,
        draw.of([
          [`Content-Length: ${WITNESS.length + 5}`, CHUNKED],
          [CHUNKED, 'Content-Length: 4'],
        ]),
        `0\r\n\r\n${WITNESS}`,
      ),
    ),
  'two lengths': (draw) => closing(post(draw, ['Content-Length: 0', `content-length: ${draw.next(90) + 1}`], WITNESS)),
  'odd length': (draw) => closing(post(draw, [`Content-Length: ${draw.of(LENGTHS)}`], WITNESS)),
  'odd coding': (draw) => closing(post(draw, [`Transfer-Encoding: ${draw.of(CODINGS)}`], WHOLE), 400, 501),
  'a coding in HTTP/1.0': (draw) =>
    closing(
      request(
        `POST ${draw.of(TARGETS)} HTTP/1.0`,
        ['Host: localhost', draw.of(['Connection: keep-alive', 'X-A: b', 'Connection: close']), CHUNKED],
        draw.of([WHOLE, `0\r\n\r\n${WITNESS}`]),
      ),
    ),
  'two codings': (draw) => closing(post(draw, [CHUNKED, `Transfer-Encoding: ${draw.of(CODINGS)}`], WHOLE), 400, 501),
  'space before the colon': (draw) =>
    closing(
      post(
        draw,
        [`${draw.of(['Transfer-Encoding', 'Content-Length', 'X-A'])}${draw.of([' ', '\t', '\x0b'])}: 5`],
        WITNESS,
      ),
    ),
  'folded header': (draw) =>
    closing(post(draw, [`X-A: b\r\n${draw.of([' ', '\t'])}${CHUNKED}`, 'Content-Length: 0'], WITNESS)),
  'folded coding': (draw) => closing(post(draw, [`Transfer-Encoding:\r\n${draw.of([' ', '\t'])}chunked`], WHOLE)),
  'odd chunk size': (draw) => closing(post(draw, [CHUNKED], `${draw.of(SIZES)}\r\n${WITNESS}`), ...IN_BODY),
  'odd chunk end': (draw) =>
    closing(post(draw, [CHUNKED], `5\r\nhello${draw.of(['\n', 'XX', '\r', '\r\r\n'])}${WITNESS}`), ...IN_BODY),
  'chunk extension with a line end': (draw) =>
    closing(post(draw, [CHUNKED], `5;a=${draw.of(['\n', '"\n', '\r'])}hello\r\n0\r\n\r\n${WITNESS}`), ...IN_BODY),
  'huge chunk extension': (draw) => closing(post(draw, [CHUNKED], `5;${'a'.repeat(20_000)}\r\nhello\r\n`), ...IN_BODY),
  'bare line feeds': (draw) =>
    closing(`GET /healthz HTTP/1.1\nHost: localhost\n${draw.of(['', 'X-A: b\n'])}\n${WITNESS}`),
  'bare carriage return': (draw) => closing(get(draw, 'Host: localhost', `X-A: b\rX-B: ${draw.next(99)}`)),
  'control character in a value': (draw) => closing(get(draw, 'Host: localhost', `X-A: b${draw.of(CONTROLS)}c`)),
  'control character in a name': (draw) =>
    closing(get(draw, 'Host: localhost', `X${draw.of([...CONTROLS, ' ', '(', '@'])}A: b`)),
  'control character in the target': (draw) =>
    closing(request(`GET /fn/echo/${draw.of([...CONTROLS, ' x'])} HTTP/1.1`, ['Host: localhost'])),
  'no colon': (draw) => closing(get(draw, 'Host: localhost', draw.text('abcXYZ-', 9))),
  'empty name': (draw) => closing(get(draw, 'Host: localhost', `: ${draw.next(99)}`)),
  'space before the first header': (draw) =>
    closing(request('GET /healthz HTTP/1.1', [`${draw.of([' ', '\t'])}Host: localhost`])),
  'two hosts': (draw) =>
    closing(get(draw, 'Host: localhost', `${draw.of(['Host', 'hOST'])}: ${draw.of(['localhost', 'evil'])}`)),
  'no host': (draw) => closing(get(draw, `X-A: ${draw.next(99)}`)),
  'another authority': (draw) =>
    staying(
      request(
        `GET ${draw.of(['http://evil', 'http://localhost@evil', 'ftp://localhost', 'http:/'])}/healthz HTTP/1.1`,
        ['Host: localhost'],
      ),
      400,
    ),
  'authority form': (draw) =>
    staying(request(`GET ${draw.of(['localhost:80', '*', 'healthz'])} HTTP/1.1`, ['Host: localhost']), 400),
  'dot segments': (draw) =>
    staying(
      request(
        `GET /fn/echo/${draw.of(['../..', '%2e%2e/%2e%2e', '..%2f..', '..\\..'])}${draw.of(['/v1/functions', '/fn/witness'])} HTTP/1.1`,
        ['Host: localhost'],
      ),
      400,
    ),
  connect: (draw) =>
    closing(
      `CONNECT ${draw.of(['localhost:80', '/fn/echo', '127.0.0.1:6379'])} HTTP/1.1\r\nHost: localhost\r\n\r\n${WITNESS}`,
      400,
      405,
    ),
  trace: (draw) => staying(request(`TRACE ${draw.of(TARGETS)} HTTP/1.1`, ['Host: localhost']), 405),
  'unknown method': (draw) =>
    closing(request(`${draw.text('ABCDEFG', 4)}X ${draw.of(TARGETS)} HTTP/1.1`, ['Host: localhost'])),
  'small method': (draw) =>
    closing(request(`${draw.of(['get', 'Get', 'gET'])} ${draw.of(TARGETS)} HTTP/1.1`, ['Host: localhost'])),
  'odd version': (draw) =>
    closing(
      request(`GET /healthz HTTP/${draw.of(['9.9', '1.2', '3', '1.1.1', 'x', '2.0', '11'])}`, ['Host: localhost']),
    ),
  'no version': (draw) => closing(`GET ${draw.of(TARGETS)}\r\n\r\n${WITNESS}`),
  'the preface of HTTP/2': () => closing(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${WITNESS}`),
  'another protocol': (draw) =>
    cut(
      draw.of([
        '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
        'SSH-2.0-x\r\n',
        'EHLO x\r\n',
        '*1\r\n$4\r\nPING\r\n',
        '\x00\x00\x00',
      ]),
      400,
    ),
  upgrade: (draw) =>
    closing(
      get(draw, 'Host: localhost', 'Connection: Upgrade', `Upgrade: ${draw.of(['websocket', 'h2c', 'TLS/1.0', 'x'])}`) +
        WITNESS,
    ),
  'odd expectation': (draw) =>
    cut(post(draw, [`Expect: ${draw.of(['200-ok', '101-continue', 'x'])}`, 'Content-Length: 4'], 'body'), 417),
  'an expectation more': (draw) =>
    cut(
      post(
        draw,
        [
          `Expect: ${draw.of(['100-continue, x', 'x, 100-continue', '"100-continue"', '100-continue;q=1'])}`,
          'Content-Length: 4',
        ],
        'body',
      ),
      417,
    ),
  'odd request line': (draw) =>
    closing(
      request(
        draw.of([
          'GET\v/healthz HTTP/1.1',
          'GET\t/healthz\tHTTP/1.1',
          ' GET /healthz HTTP/1.1',
          'GET /healthz HTTP/1.1 x',
          'GET /healthz http/1.1',
          'GET /healthz HTTP /1.1',
        ]),
        ['Host: localhost'],
      ) + WITNESS,
    ),
  'a request behind the end': (draw) =>
    cut(
      `GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: ${draw.of(['close', 'Close', 'x, close'])}\r\n\r\n${WITNESS}`,
      200,
      400,
    ),
  'framing by other names': (draw) =>
    staying(
      request(
        'POST /fn/echo/a HTTP/1.1',
        [
          'Host: localhost',
          `Content-Length: ${WITNESS.length}`,
          draw.of([
            'Content_Length: 0',
            'Transfer_Encoding: chunked',
            'X-Transfer-Encoding: chunked',
            'Connection: Content-Length',
          ]),
        ],
        WITNESS,
      ),
      200,
    ),
  'leading zeros': (draw) => {
    const [header, body] = draw.of([
      [`Content-Length: 00000${WITNESS.length}`, WITNESS],
      [CHUNKED, `00000${WHOLE}`],
    ])
    return staying(request('POST /fn/echo/a HTTP/1.1', ['Host: localhost', header!], body), 200)
  },
  'huge header': (draw) => closing(get(draw, 'Host: localhost', `X-A: ${'a'.repeat(33_000 + draw.next(20_000))}`), 431),
  'huge target': (draw) =>
    closing(request(`GET /fn/echo/${'a'.repeat(33_000 + draw.next(20_000))} HTTP/1.1`, ['Host: localhost']), 431),
  'many headers': (draw) =>
    closing(get(draw, 'Host: localhost', ...Array.from({ length: 9000 }, (_, n) => `h${n}: `)), 431),
  'short body': (draw) => cut(post(draw, [`Content-Length: ${100 + draw.next(100_000)}`], 'short'), ...IN_BODY, 200),
  'short chunk': (draw) =>
    cut(post(draw, [CHUNKED], `${(draw.next(60_000) + 10).toString(16)}\r\nshort`), ...IN_BODY, 200),
  'short head': (draw) => cut(`GET ${draw.of(TARGETS)} HTTP/1.1\r\nHost: loc`, 400),
  'a body in a GET': (draw) =>
    staying(
      request(
        `${draw.of(['GET', 'DELETE', 'OPTIONS'])} /fn/echo/a HTTP/1.1`,
        ['Host: localhost', `Content-Length: ${WITNESS.length}`],
        WITNESS,
      ),
      200,
    ),
  'a request in a body': (draw) => {
    const [header, body] = draw.of([
      [CHUNKED, WHOLE],
      [`Content-Length: ${WITNESS.length}`, WITNESS],
    ])
    return staying(request('POST /fn/echo/a HTTP/1.1', ['Host: localhost', header!], body), 200)
  },
  'trailers that mean something': (draw) =>
    staying(
      request(
        'POST /fn/echo/a HTTP/1.1',
        ['Host: localhost', CHUNKED, 'Trailer: Host'],
        `${WHOLE.slice(0, -2)}${draw.of(['Host: evil', 'Content-Length: 9', 'Authorization: Bearer x'])}\r\n\r\n`,
      ),
      200,
      400,
    ),
  'odd own header': (draw) =>
    staying(
      request('GET /fn/echo/a HTTP/1.1', [
        'Host: localhost',
        `Fn-${draw.of(['Timeout', 'Limit-Memory', 'Limit-Pids', 'Namespace'])}: ${draw.text('-0x!. ', 5)}x`,
      ]),
      400,
      404,
    ),
}

const ANY = [200, 202, 204, 400, 401, 403, 404, 405, 408, 411, 413, 414, 417, 431, 501, 505]

/** A good request with some bytes changed, taken out or put in. Its body holds no other request: a changed length may lead there. */
function mutated(draw: Draw): MalformedRequest {
  const bytes = [
    ...Buffer.from(draw.next(2) ? get(draw, 'Host: localhost', 'X-A: b') : post(draw, ['Content-Length: 5'], 'hello')),
  ]
  for (let times = draw.next(4) + 1; times > 0; times--) {
    const at = draw.next(bytes.length)
    bytes.splice(at, draw.next(2), ...(draw.next(3) ? [draw.next(256)] : []))
  }
  return { kind: 'some bytes changed', bytes: Buffer.from(bytes), statuses: ANY, end: 'cut' }
}

/** One of a kind, drawn from a seed. */
export function malformedRequest(kind: string, seed: number): MalformedRequest {
  const { text, ...rest } = KINDS[kind]!(new Draw(seed))
  return { kind, bytes: Buffer.from(text, 'utf8'), ...rest }
}

/** `count` requests: every kind in turn, and one in eight of the good ones mutated. */
export function* malformedRequests(seed: number, count: number): Generator<MalformedRequest> {
  const draw = new Draw(seed)
  const kinds = Object.entries(KINDS)
  for (let index = 0; index < count; index++) {
    const [kind, make] = kinds[index % kinds.length]!
    const { text, ...rest } = make(draw)
    yield index % 8 === 7 ? mutated(draw) : { kind, bytes: Buffer.from(text, 'utf8'), ...rest }
  }
}

/** What is wrong with what came back, or null. */
export function faultIn({ statuses, end }: MalformedRequest, { answers, rest, hung }: RawExchange): string | null {
  const [first, second, third] = answers
  if (hung) return 'the connection stayed open'
  // An answer that had begun when the body turned out to be broken is cut.
  if (rest !== '' && !(rest.startsWith('HTTP/1.1 200') && statuses.includes(200))) return `bytes behind the answer`
  if (first === undefined) return end === 'cut' ? null : 'no answer'
  if (!statuses.includes(first.status)) return `status ${first.status}`
  if (third !== undefined) return 'three answers'
  if (second === undefined) return end === 'stays' && first.status !== 400 ? 'no second request was taken' : null
  if (end !== 'stays') return `a second answer: ${second.status}`
  return second.body.startsWith('{"status":"ok"') ? null : `the second answer is ${second.status} ${second.body}`
}
