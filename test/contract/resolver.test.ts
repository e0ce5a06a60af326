// The name server of sandboxes and what it asks, over real sockets of the loopback: bounds, refusals, long answers, silent servers.
import { createSocket, type Socket } from 'node:dgram'
import { connect, createServer, type Server } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { addressText, parseAllowList } from '../../runtime/network/addresses.ts'
import {
  type AddressRecord,
  encodeAddresses,
  encodeEmpty,
  encodeQuery,
  parseQuestion,
  parseReply,
  RCODE,
  TYPE,
} from '../../runtime/network/dns-message.ts'
import { parseEgressRule } from '../../runtime/network/egress-rules.ts'
import { type NameClient, Resolver } from '../../runtime/network/resolver.ts'
import { type Ask, createUpstream, framed, parseNameServers, parseServer } from '../../runtime/network/upstream.ts'
import { freePort } from '../support/platform.ts'
import { realClock, silentLogger } from '../support/real-clock.ts'
import { until } from '../support/until.ts'

const HOST = '127.0.0.1'
const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

function questionBytes(name: string, type: number = TYPE.A): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  return Buffer.concat([...labels, Buffer.from([0, type >> 8, type & 255, 0, 1])])
}
const record = (address: number): AddressRecord => ({ address, ttlSeconds: 60 })
const PUBLIC = 0x5db8d822
const PRIVATE = 0x0a010203

/** Answers every question with these addresses. */
function answering(...addresses: number[]): Ask {
  return async (question) => {
    const asked = parseQuestion(encodeQuery(1, question))!
    const message = encodeAddresses(asked, addresses.map(record))
    return { message, reply: parseReply(message, 1, question)! }
  }
}

interface Opened {
  readonly port: number
  readonly ways: string[]
  /** Questions that came. */
  taken(): number
  /** An hour goes by, and whoever asks is known. */
  later(): void
}
const LAST_ID = 65_535

async function open(ask: Ask, rules: string[] | null = null, known = true): Promise<Opened> {
  const port = await freePort()
  const ways: string[] = []
  let taken = 0
  let nowMs = 1000
  let isKnown = known
  const client: NameClient = {
    group: 'one',
    rules: rules?.map(parseEgressRule) ?? null,
    open: (name, address, _ttl, ports) => ways.push(`${name} ${addressText(address)} ${ports ?? 'any'}`),
    isPeer: (label) => label === 'shop',
  }
  const resolver = new Resolver({
    address: HOST,
    port,
    ask,
    allow: parseAllowList(['db.corp']),
    clock: { ...realClock, monotonicMs: () => nowMs },
    logger: silentLogger,
    clientAt: () => {
      taken++
      return isKnown ? client : null
    },
  })
  await resolver.listen()
  closing.push(() => resolver.close())
  return {
    port,
    ways,
    taken: () => taken,
    later: () => {
      nowMs += 3_600_000
      isKnown = true
    },
  }
}

/** Answers to these messages in their order; null where none came. A last question, an hour later and of somebody known, says
 *  that all before it were seen. */
async function askAll(opened: Opened, messages: readonly Buffer[]): Promise<(Buffer | null)[]> {
  const socket: Socket = createSocket('udp4')
  closing.push(() => socket.close())
  const answers = new Map<number, Buffer>()
  socket.on('message', (message) => answers.set(message.readUInt16BE(0), message))
  await new Promise<void>((resolve) => socket.connect(opened.port, HOST, () => resolve()))
  for (const message of messages) socket.send(message)
  await until('every question was taken', () => opened.taken() >= messages.length)
  opened.later()
  socket.send(encodeQuery(LAST_ID, questionBytes('end.localhost')))
  await until('the last question is answered', () => answers.has(LAST_ID))
  return messages.map((message) => answers.get(message.readUInt16BE(0)) ?? null)
}

async function ask(opened: Opened, name: string, type: number = TYPE.A) {
  const question = questionBytes(name, type)
  const [answer] = await askAll(opened, [encodeQuery(9, question)])
  return answer == null ? null : parseReply(answer, 9, question)
}

describe('the name server of sandboxes', () => {
  test('opens the way to an address, then gives it out', async () => {
    const opened = await open(answering(PUBLIC), ['api.example.com:443', '*.example.org'])
    expect(await ask(opened, 'API.example.com')).toMatchObject({ rcode: RCODE.ok, addresses: [{ address: PUBLIC }] })
    expect(await ask(opened, 'a.example.org')).toMatchObject({ addresses: [{ address: PUBLIC }] })
    expect(await ask(opened, 'example.net')).toMatchObject({ rcode: RCODE.refused, addresses: [] })
    expect(opened.ways).toEqual(['api.example.com 93.184.216.34 443', 'a.example.org 93.184.216.34 any'])
  })

  test('gives out nothing of an answer with a private address in it, unless an administrator named the name', async () => {
    const opened = await open(answering(PUBLIC, PRIVATE))
    expect(await ask(opened, 'mixed.example.com')).toMatchObject({ rcode: RCODE.refused, addresses: [] })
    expect(opened.ways).toEqual([])
    expect(await ask(opened, 'db.corp')).toMatchObject({
      rcode: RCODE.ok,
      addresses: [{ address: PUBLIC }, { address: PRIVATE }],
    })
  })

  test('leads peers to itself, and nobody else', async () => {
    const opened = await open(answering(PUBLIC))
    expect(await ask(opened, 'shop.fn.internal')).toMatchObject({ addresses: [{ address: 0x7f000001 }] })
    expect(await ask(opened, 'bank.fn.internal')).toMatchObject({ rcode: RCODE.unknownName })
  })

  test('answers a sandbox no more than so many questions at once, and none of whom it does not know', async () => {
    const opened = await open(answering(PUBLIC))
    const messages = Array.from({ length: 160 }, (_none, id) => encodeQuery(id, questionBytes('a.localhost')))
    const answered = (await askAll(opened, messages)).filter((answer) => answer !== null).length
    expect(answered).toBe(100)
    const strangers = await open(answering(PUBLIC), null, false)
    expect(await ask(strangers, 'api.example.com')).toBeNull()
  })

  test('asks outside for no more than so many names at once', async () => {
    let waiting = 0
    const opened = await open(() => new Promise(() => void waiting++))
    await askAll(
      opened,
      Array.from({ length: 60 }, (_none, id) => encodeQuery(id, questionBytes(`slow${id}.example`))),
    )
    expect(waiting).toBe(32)
  })

  test('asks outside once for a name that many want to know at the same time', async () => {
    const waiting: (() => void)[] = []
    const answer = answering(PUBLIC)
    const opened = await open(async (question) => {
      await new Promise<void>((resolve) => waiting.push(resolve))
      return await answer(question)
    })
    const socket: Socket = createSocket('udp4')
    closing.push(() => socket.close())
    let answers = 0
    socket.on('message', () => void answers++)
    await new Promise<void>((resolve) => socket.connect(opened.port, HOST, () => resolve()))
    for (let id = 0; id < 40; id++) socket.send(encodeQuery(id, questionBytes('same.example')))
    await until('every question was taken', () => opened.taken() >= 40)
    await until('it is asked outside', () => waiting.length > 0)
    for (const resolve of waiting) resolve()
    await until('all have their answer', () => answers === 40)
    expect(waiting.length).toBe(1)
  })

  test('says that a long answer did not fit, and gives it over TCP', async () => {
    const many = Array.from({ length: 32 }, (_none, index) => PUBLIC + index)
    const opened = await open(answering(...many))
    expect(await ask(opened, 'many.example.com')).toMatchObject({ truncated: true, addresses: [] })
    const question = questionBytes('many.example.com')
    const answer = await new Promise<Buffer>((resolve) => {
      let got = Buffer.alloc(0)
      const socket = connect(opened.port, HOST, () => {
        const bytes = framed(encodeQuery(5, question))
        socket.write(bytes.subarray(0, 7))
        socket.write(bytes.subarray(7))
      })
      closing.push(() => socket.destroy())
      socket.on('data', (chunk: Buffer) => {
        got = Buffer.concat([got, chunk])
        if (got.length >= 2 && got.length >= 2 + got.readUInt16BE(0)) resolve(got.subarray(2))
      })
    })
    expect(parseReply(answer, 5, question)?.addresses).toHaveLength(32)
  })
})

describe('the name server of sandboxes of several namespaces', () => {
  /** Sandboxes at 127.0.1.x are of namespace `loud`, those at 127.0.2.x of `calm`. */
  async function openForTwo(ask: Ask, more: Partial<ConstructorParameters<typeof Resolver>[0]> = {}) {
    const port = await freePort()
    const opened: string[] = []
    const resolver = new Resolver({
      address: '0.0.0.0',
      port,
      ask,
      allow: parseAllowList([]),
      clock: realClock,
      logger: silentLogger,
      clientAt: (address) => ({
        group: address.startsWith('127.0.1.') ? 'loud' : 'calm',
        rules: null,
        open: (_name, at) => opened.push(`${address} ${at}`),
        isPeer: () => false,
      }),
      ...more,
    })
    await resolver.listen()
    closing.push(() => resolver.close())
    return { port, opened }
  }
  /** One question from this address; its answer's rcode. */
  async function from(address: string, port: number, name: string): Promise<number> {
    const socket: Socket = createSocket('udp4')
    try {
      await new Promise<void>((resolve) => socket.bind(0, address, resolve))
      const answer = new Promise<Buffer>((resolve) => socket.once('message', resolve))
      socket.send(encodeQuery(3, questionBytes(name)), port, '127.0.0.1')
      return (await answer).readUInt16BE(2) & 15
    } finally {
      socket.close()
    }
  }

  test('keeps places outside for a namespace while another waits for all the answers it may, which never come', async () => {
    let hanging = 0
    const good = answering(PUBLIC)
    const { port } = await openForTwo((question) => {
      if (!question.toString('latin1').includes('hang')) return good(question)
      hanging++
      return new Promise(() => {})
    })
    for (let sandbox = 1; sandbox <= 9; sandbox++) {
      const socket: Socket = createSocket('udp4')
      closing.push(() => socket.close())
      await new Promise<void>((resolve) => socket.bind(0, `127.0.1.${sandbox}`, resolve))
      const before = hanging
      for (let id = 0; id < 32; id++)
        socket.send(encodeQuery(id, questionBytes(`hang${id}.s${sandbox}.example`)), port, '127.0.0.1')
      if (before < 256) await until('they hang', () => hanging >= Math.min(256, before + 32))
    }
    expect(await from('127.0.1.99', port, 'hang.example')).toBe(RCODE.failure)
    expect(hanging).toBe(256)
    expect(await from('127.0.2.1', port, 'api.example')).toBe(RCODE.ok)
  })

  test('answers SERVFAIL to a namespace above its rate, and addresses to another', async () => {
    let left = 5
    const mayAsk = (group: string, count: number) => {
      if (group === 'loud') left -= count
      return group === 'calm' || left >= 0
    }
    const { port } = await openForTwo(answering(PUBLIC), { mayAsk })
    const answers: number[] = []
    for (let id = 0; id < 8; id++) answers.push(await from('127.0.1.1', port, `n${id}.example`))
    expect(answers).toEqual([0, 0, 0, 0, 0, 2, 2, 2])
    expect(await from('127.0.2.1', port, 'api.example')).toBe(RCODE.ok)
  })

  test('opens of one answer no more ways than so many, and charges what they cost', async () => {
    const many = Array.from({ length: 32 }, (_none, index) => PUBLIC + index)
    const charged: number[] = []
    const ports = Array.from({ length: 64 }, (_none, index) => `*.example:${index + 1}`)
    const opened: number[] = []
    const { port } = await openForTwo(answering(...many), {
      mayAsk: (_group, count) => charged.push(count) > 0,
      clientAt: () => ({
        group: 'loud',
        rules: ports.map(parseEgressRule),
        open: (_name, at) => opened.push(at),
        isPeer: () => false,
      }),
    })
    expect(await from('127.0.1.1', port, 'many.example')).toBe(RCODE.ok)
    expect(opened).toEqual(many.slice(0, 4))
    expect(charged).toEqual([1, 8])
  })

  test('buffers no answers over TCP that are not read, and goes on answering others', async () => {
    const text = Buffer.alloc(40_000, 'x')
    let asked = 0
    const { port } = await openForTwo(async (question) => {
      asked++
      const of = parseQuestion(encodeQuery(1, question))!
      const message = Buffer.concat([encodeAddresses(of, [record(PUBLIC)]), text])
      return { message, reply: { ...parseReply(message, 1, question)!, answersEnd: message.length } }
    })
    const socket = connect({ port, host: '127.0.0.1', localAddress: '127.0.1.1' })
    closing.push(() => socket.destroy())
    socket.on('error', () => {})
    socket.pause()
    const one = framed(encodeQuery(7, questionBytes('long.example', TYPE.TXT)))
    const more = (): void => {
      while (!socket.destroyed && socket.write(one));
    }
    socket.on('drain', more)
    socket.once('connect', more)
    await until('the connection is over', () => socket.destroyed)
    expect(asked).toBeLessThanOrEqual(7)
    expect(await from('127.0.2.1', port, 'api.example')).toBe(RCODE.ok)
  })

  test('takes no more than eight connections of one sandbox', async () => {
    const { port } = await openForTwo(answering(PUBLIC))
    const sockets = Array.from({ length: 12 }, () => connect({ port, host: '127.0.0.1', localAddress: '127.0.1.1' }))
    for (const socket of sockets) socket.on('error', () => {}).resume()
    closing.push(() => {
      for (const socket of sockets) socket.destroy()
    })
    await until('four are cut', () => sockets.filter((socket) => socket.readableEnded || socket.destroyed).length === 4)
    const other = connect({ port, host: '127.0.0.1', localAddress: '127.0.2.1' })
    closing.push(() => other.destroy())
    const answered = new Promise<void>((resolve) => other.once('data', () => resolve()))
    other.write(framed(encodeQuery(7, questionBytes('api.example'))))
    await answered
  })
})

describe('what is asked outside', () => {
  async function server(answer: (message: Buffer) => Buffer | null): Promise<string> {
    const socket = createSocket('udp4')
    closing.push(() => socket.close())
    socket.on('message', (message, from) => {
      const bytes = answer(message)
      if (bytes !== null) socket.send(bytes, from.port, from.address)
    })
    await new Promise<void>((resolve) => socket.bind(0, HOST, () => resolve()))
    return `${HOST}:${socket.address().port}`
  }
  const good = (message: Buffer) => encodeAddresses(parseQuestion(message)!, [record(PUBLIC)])

  test('goes to the next server when one is silent or lies about the question', async () => {
    const silent = await server(() => null)
    const liar = await server((message) => {
      const forged = good(message)
      forged.writeUInt16BE((message.readUInt16BE(0) + 1) & 0xffff, 0)
      return forged
    })
    const ask = createUpstream(() => [silent, liar], 50)
    expect(await ask(questionBytes('a.example'))).toBeNull()
    const honest = await server(good)
    const answer = await createUpstream(() => [silent, liar, honest], 300)(questionBytes('a.example'))
    expect(answer?.reply.addresses).toEqual([record(PUBLIC)])
  })

  test('is asked again over TCP when the answer did not fit', async () => {
    const short = await server((message) => encodeEmpty(parseQuestion(message)!, RCODE.ok, true))
    const port = parseServer(short).port
    const tcp: Server = createServer((socket) => {
      socket.once('data', (bytes: Buffer) => socket.end(framed(good(bytes.subarray(2)))))
    })
    closing.push(() => tcp.close())
    await new Promise<void>((resolve) => tcp.listen(port, HOST, resolve))
    const answer = await createUpstream(() => [short], 2_000)(questionBytes('a.example'))
    expect(answer?.reply).toMatchObject({ truncated: false, addresses: [record(PUBLIC)] })
  })

  test('servers are those of resolv.conf, with or without a port', () => {
    expect(parseNameServers('# x\nnameserver 10.0.0.1\nsearch a\n nameserver fe80::1\n')).toEqual([
      '10.0.0.1',
      'fe80::1',
    ])
    expect(['10.0.0.1', '10.0.0.1:5353', 'fd00::1', '[fd00::1]:54'].map(parseServer)).toEqual([
      { host: '10.0.0.1', port: 53 },
      { host: '10.0.0.1', port: 5353 },
      { host: 'fd00::1', port: 53 },
      { host: 'fd00::1', port: 54 },
    ])
  })
})
