// The sandboxes' name server, on the platform's own address of their network, over UDP and TCP (name-streams.ts). Answers what
// name-policy.ts lets pass and opens the way to an address before its answer leaves. Owns its sockets; every bound here is for one
// sandbox, for one group of them (a namespace), or for all with room left for other groups.
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import type { Clock, Logger } from '../api.ts'
import { Shares } from '../shares.ts'
import { type BucketRate, TokenBucket } from '../token-bucket.ts'
import { type AllowList, addressNumber } from './addresses.ts'
import {
  type AddressRecord,
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
import { NameStreams } from './name-streams.ts'
import { PLATFORM_PORTS } from './ruleset.ts'
import type { Ask, UpstreamAnswer } from './upstream.ts'

/** A sandbox as the resolver sees it. */
export interface NameClient {
  /** Sandboxes of one group (a namespace) share bounds. */
  readonly group: string
  /** Null: every public name. */
  readonly rules: readonly EgressRule[] | null
  /** Opens the way to an address of a name. Throws Error when there is no room for it. */
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
  /** Whether a group may look up so many names more now; those that may not get SERVFAIL. Default: always. */
  readonly mayAsk?: (group: string, count: number) => boolean
}

/** Questions a second of one sandbox, at once on top, and asked outside at the same time: of one sandbox, of all. */
const QUESTION_RATE: BucketRate = { perSecond: 50, capacity: 100 }
const OPEN_QUESTIONS = 32
const MOST_OPEN_QUESTIONS = 512
const PLATFORM_TTL_SECONDS = 5
const MOST_ADDRESSES = 32
/** Ways that one answer opens: addresses times ports. An answer with more is cut; its first address is always in it. */
const MOST_WAYS = 256
/** Opening so many ways costs the platform as much as one name does. */
const WAYS_A_NAME = 32
/** What fits into a datagram without more being said (RFC 1035). */
const DATAGRAM_BYTES = 512

export class Resolver {
  readonly #options: ResolverOptions
  readonly #udp: DatagramSocket = createSocket('udp4')
  readonly #streams: NameStreams
  readonly #allowances = new Map<string, Allowance>()
  readonly #openQuestions = new Shares(MOST_OPEN_QUESTIONS)
  /** Questions that are being asked outside. */
  readonly #asking = new Map<string, Promise<UpstreamAnswer | null>>()

  constructor(options: ResolverOptions) {
    this.#options = options
    this.#udp.on('message', (message, from) => {
      void this.#answer(message, from.address, DATAGRAM_BYTES).then((answer) => {
        if (answer !== null) this.#send(answer, from.port, from.address)
      })
    })
    this.#streams = new NameStreams({
      clock: options.clock,
      groupOf: (address) => options.clientAt(address)?.group ?? null,
      answer: (message, from) => this.#answer(message, from, Number.POSITIVE_INFINITY),
    })
  }

  /** Rejects with node's error when the address cannot be had. */
  async listen(): Promise<void> {
    const { address, port = PLATFORM_PORTS.names } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#udp.once('error', reject)
      this.#udp.bind(port, address, resolve)
    })
    this.#udp.on('error', (error) => this.#options.logger.warn({ error: String(error) }, 'the resolver of sandboxes'))
    await this.#streams.listen(port, address)
  }

  /** A sandbox is gone. */
  forget(address: string): void {
    this.#allowances.delete(address)
  }

  async close(): Promise<void> {
    await Promise.all([
      new Promise<void>((resolve) => {
        try {
          this.#udp.close(() => resolve())
        } catch {
          resolve() // never bound
        }
      }),
      this.#streams.close(),
    ])
  }

  #send(answer: Buffer, port: number, address: string): void {
    try {
      this.#udp.send(answer, port, address)
    } catch {
      // closed meanwhile
    }
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
    if (!this.#mayAsk(client.group, 1)) return encodeEmpty(question, RCODE.failure)
    const answer = await this.#ask(question, client.group, allowance)
    if (answer === null) return encodeEmpty(question, RCODE.failure)
    const { reply, message } = answer
    if (reply.rcode !== RCODE.ok) return encodeEmpty(question, reply.rcode)
    if (verdict.kind === 'records') return encodeRecords(question, message, reply)
    return this.#openWays(question, client, reply.addresses, verdict.ports)
  }

  #openWays(
    question: Question,
    client: NameClient,
    addresses: readonly AddressRecord[],
    ports: readonly number[] | null,
  ): Buffer {
    const found = addresses.slice(0, MOST_ADDRESSES)
    const good = found.filter((record) => mayHave(question.name, record, this.#options.allow))
    // SECURITY: one bad address among good ones is somebody's trick: then there is none.
    if (good.length < found.length) return encodeEmpty(question, RCODE.refused)
    const ways = ports?.length ?? 1
    const opened = good.slice(0, Math.max(1, Math.floor(MOST_WAYS / ways)))
    const cost = Math.floor((opened.length * ways) / WAYS_A_NAME)
    if (cost > 0 && !this.#mayAsk(client.group, cost)) return encodeEmpty(question, RCODE.failure)
    for (const { address, ttlSeconds } of opened) client.open(question.name, address, ttlSeconds, ports)
    const shown = opened.map(({ address, ttlSeconds }) => ({ address, ttlSeconds: shownTtl(ttlSeconds) }))
    return encodeAddresses(question, shown)
  }

  #mayAsk(group: string, count: number): boolean {
    return this.#options.mayAsk?.(group, count) ?? true
  }

  /** Null: too many of this sandbox or its group are asked already, or no server answered. */
  async #ask(question: Question, group: string, allowance: Allowance): Promise<UpstreamAnswer | null> {
    // SECURITY: the same question is asked once at a time, whichever sandbox wants to know: many at once would make forging an answer easy
    // (RFC 5452, section 5).
    const key = question.bytes.toString('latin1').toLowerCase()
    const asked = this.#asking.get(key)
    if (asked !== undefined) return await asked
    const giveBack = allowance.open >= OPEN_QUESTIONS ? null : this.#openQuestions.take(group)
    if (giveBack === null) return null
    allowance.open++
    const asking = this.#options.ask(question.bytes).finally(() => {
      allowance.open--
      giveBack()
      this.#asking.delete(key)
    })
    this.#asking.set(key, asking)
    return await asking
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

/** What one sandbox may ask. */
class Allowance {
  open = 0
  readonly #bucket: TokenBucket

  constructor(nowMs: number) {
    this.#bucket = new TokenBucket(QUESTION_RATE, nowMs)
  }

  take(nowMs: number): boolean {
    return this.#bucket.take(1, QUESTION_RATE, nowMs) === 0
  }
}
