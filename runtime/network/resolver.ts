// The sandboxes' name server, on the platform's own address of their network, over UDP and TCP. Answers what name-policy.ts lets
// pass and opens the way to an address before its answer leaves. Owns its sockets; every bound here is for one sandbox or for all.
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { createServer, type Server, type Socket } from 'node:net'
import type { Clock, Logger } from '../api.ts'
import { type AllowList, addressNumber } from './addresses.ts'
import {
  encodeAddresses,
  encodeEmpty,
  encodeMalformed,
  encodeRecords,
  parseQuestion,
  type Question,
  RCODE,
} from './dns-message.ts'
import type { EgressRule } from './egress-rules.ts'
import { judgeName, mayHave, shownTtl } from './name-policy.ts'
import { PLATFORM_PORTS } from './ruleset.ts'
import { type Ask, framed } from './upstream.ts'

/** A sandbox as the resolver sees it. */
export interface NameClient {
  /** Null: every public name. */
  readonly rules: readonly EgressRule[] | null
  /** Opens the way to an address of a name. */
  open(name: string, address: number, ttlSeconds: number, ports: readonly number[] | null): void
  isPeer(label: string): boolean
}

export interface ResolverOptions {
  readonly address: string
  /** Default: that of name servers. */
  readonly port?: number
  readonly ask: Ask
  readonly allow: AllowList
  readonly clock: Clock
  readonly logger: Logger
  /** By the address a question came from, which the filter keeps true. */
  readonly clientAt: (address: string) => NameClient | null
}

/** Questions a second of one sandbox, at once on top, and asked outside at the same time: of one sandbox, of all. */
const PER_SECOND = 50
const BURST = 100
const OPEN_QUESTIONS = 32
const MOST_OPEN_QUESTIONS = 512
const PLATFORM_TTL_SECONDS = 5
const MOST_ADDRESSES = 32
/** What fits into a datagram without more being said (RFC 1035). */
const DATAGRAM_BYTES = 512
const STREAM_IDLE_MS = 10_000
const STREAM_QUESTION_BYTES = 1024

export class Resolver {
  readonly #options: ResolverOptions
  readonly #udp: DatagramSocket = createSocket('udp4')
  readonly #tcp: Server
  readonly #streams = new Set<Socket>()
  readonly #allowances = new Map<string, Allowance>()
  #openQuestions = 0

  constructor(options: ResolverOptions) {
    this.#options = options
    this.#udp.on('message', (message, from) => {
      void this.#answer(message, from.address, DATAGRAM_BYTES).then((answer) => {
        if (answer !== null) this.#send(answer, from.port, from.address)
      })
    })
    this.#tcp = createServer((socket) => this.#serve(socket))
  }

  /** Rejects with node's error when the address cannot be had. */
  async listen(): Promise<void> {
    const { address, port = PLATFORM_PORTS.names } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#udp.once('error', reject)
      this.#udp.bind(port, address, resolve)
    })
    this.#udp.on('error', (error) => this.#options.logger.warn({ error: String(error) }, 'the resolver of sandboxes'))
    await new Promise<void>((resolve, reject) => {
      this.#tcp.once('error', reject)
      this.#tcp.listen(port, address, resolve)
    })
  }

  /** A sandbox is gone. */
  forget(address: string): void {
    this.#allowances.delete(address)
  }

  async close(): Promise<void> {
    for (const stream of this.#streams) stream.destroy()
    await Promise.all([
      new Promise<void>((resolve) => {
        try {
          this.#udp.close(() => resolve())
        } catch {
          resolve() // never bound
        }
      }),
      new Promise<void>((resolve) => this.#tcp.close(() => resolve())),
    ])
  }

  #send(answer: Buffer, port: number, address: string): void {
    try {
      this.#udp.send(answer, port, address)
    } catch {
      // closed meanwhile
    }
  }

  #serve(socket: Socket): void {
    this.#streams.add(socket)
    socket.once('close', () => this.#streams.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.setTimeout(STREAM_IDLE_MS, () => socket.destroy())
    const from = socket.remoteAddress ?? ''
    let received = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      while (received.length >= 2) {
        const length = received.readUInt16BE(0)
        if (length > STREAM_QUESTION_BYTES) return void socket.destroy()
        if (received.length < 2 + length) return
        const message = received.subarray(2, 2 + length)
        received = received.subarray(2 + length)
        void this.#answer(message, from, Number.POSITIVE_INFINITY).then((answer) => {
          if (answer !== null && !socket.destroyed) socket.write(framed(answer))
        })
      }
    })
  }

  /** Null: not worth an answer. Never rejects. */
  async #answer(message: Buffer, from: string, mostBytes: number): Promise<Buffer | null> {
    const client = this.#options.clientAt(from)
    if (client === null) return null
    const allowance = this.#allowanceOf(from)
    if (!allowance.take(this.#options.clock.monotonicMs())) return null
    const question = parseQuestion(message)
    if (question === null) return encodeMalformed(message)
    try {
      const answer = await this.#resolve(question, client, allowance)
      return answer.length <= mostBytes ? answer : encodeEmpty(question, RCODE.ok, true)
    } catch (error) {
      this.#options.logger.debug({ name: question.name, error: String(error) }, 'a name was not resolved')
      return encodeEmpty(question, RCODE.failure)
    }
  }

  async #resolve(question: Question, client: NameClient, allowance: Allowance): Promise<Buffer> {
    const verdict = judgeName(question.name, question.type, client.rules)
    if (verdict.kind === 'unknown') return encodeEmpty(question, RCODE.unknownName)
    if (verdict.kind === 'refused') return encodeEmpty(question, RCODE.refused)
    if (verdict.kind === 'empty') return encodeEmpty(question, RCODE.ok)
    if (verdict.kind === 'peer') {
      if (!client.isPeer(verdict.label)) return encodeEmpty(question, RCODE.unknownName)
      const address = addressNumber(this.#options.address)
      return encodeAddresses(question, [{ address, ttlSeconds: PLATFORM_TTL_SECONDS }])
    }
    const answer = await this.#ask(question, allowance)
    if (answer === null) return encodeEmpty(question, RCODE.failure)
    const { reply, message } = answer
    if (reply.rcode !== RCODE.ok) return encodeEmpty(question, reply.rcode)
    if (verdict.kind === 'records') return encodeRecords(question, message, reply)
    const found = reply.addresses.slice(0, MOST_ADDRESSES)
    const good = found.filter((record) => mayHave(question.name, record, this.#options.allow))
    // SECURITY: one bad address among good ones is somebody's trick: then there is none.
    if (good.length < found.length) return encodeEmpty(question, RCODE.refused)
    for (const { address, ttlSeconds } of good) client.open(question.name, address, ttlSeconds, verdict.ports)
    const shown = good.map(({ address, ttlSeconds }) => ({ address, ttlSeconds: shownTtl(ttlSeconds) }))
    return encodeAddresses(question, shown)
  }

  async #ask(question: Question, allowance: Allowance) {
    if (allowance.open >= OPEN_QUESTIONS || this.#openQuestions >= MOST_OPEN_QUESTIONS) return null
    allowance.open++
    this.#openQuestions++
    try {
      return await this.#options.ask(question.bytes)
    } finally {
      allowance.open--
      this.#openQuestions--
    }
  }

  #allowanceOf(address: string): Allowance {
    let allowance = this.#allowances.get(address)
    if (allowance === undefined) {
      allowance = new Allowance(this.#options.clock.monotonicMs())
      this.#allowances.set(address, allowance)
    }
    return allowance
  }
}

/** A token bucket of questions. */
class Allowance {
  open = 0
  #tokens = BURST
  #atMs: number

  constructor(nowMs: number) {
    this.#atMs = nowMs
  }

  take(nowMs: number): boolean {
    this.#tokens = Math.min(BURST, this.#tokens + ((nowMs - this.#atMs) * PER_SECOND) / 1000)
    this.#atMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
