// DNS messages (RFC 1035) as far as a forwarder needs them: one question in, addresses and plain records out. Pure; every length
// and pointer comes from somebody who may lie.

/** Record types known here. */
export const TYPE = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, SRV: 33, CAA: 257 } as const
export const RCODE = { ok: 0, format: 1, failure: 2, unknownName: 3, notImplemented: 4, refused: 5 } as const

const HEADER = 12
const CLASS_IN = 1
const MOST_NAME_BYTES = 255
const FLAG_ANSWER = 0x8000
const FLAG_RECURSION_WANTED = 0x0100
const FLAG_RECURSION_HAD = 0x0080
const FLAG_TRUNCATED = 0x0200
const OPCODE = 0x7800
const NAME_POINTER = 0xc000 | HEADER

export interface Question {
  readonly id: number
  /** Lower case, without the last dot. */
  readonly name: string
  readonly type: number
  /** The question as asked, for the answer to repeat. */
  readonly bytes: Buffer
}

export interface AddressRecord {
  /** IPv4, as a number. */
  readonly address: number
  readonly ttlSeconds: number
}

export interface Reply {
  readonly rcode: number
  readonly truncated: boolean
  readonly addresses: readonly AddressRecord[]
  /** The message up to the end of its answers. */
  readonly answersEnd: number
  readonly answers: number
}

/** The one question of a query; null: not a query with one question of the Internet's class. */
export function parseQuestion(message: Buffer): Question | null {
  if (message.length < HEADER) return null
  const flags = message.readUInt16BE(2)
  if ((flags & (FLAG_ANSWER | OPCODE)) !== 0 || message.readUInt16BE(4) !== 1) return null
  const name = readName(message, HEADER)
  if (name === null || name.end + 4 > message.length || name.end - HEADER > MOST_NAME_BYTES) return null
  if (message.readUInt16BE(name.end + 2) !== CLASS_IN) return null
  const bytes = message.subarray(HEADER, name.end + 4)
  return { id: message.readUInt16BE(0), name: name.text, type: message.readUInt16BE(name.end), bytes }
}

/** A query with this id and question. */
export function encodeQuery(id: number, question: Buffer): Buffer {
  return Buffer.concat([header(id, FLAG_RECURSION_WANTED, 0), question])
}

/** The answer to `encodeQuery` with this id and question; null: it is none, or malformed. */
export function parseReply(message: Buffer, id: number, question: Buffer): Reply | null {
  if (message.length < HEADER + question.length || message.readUInt16BE(0) !== id) return null
  const flags = message.readUInt16BE(2)
  if ((flags & FLAG_ANSWER) === 0 || message.readUInt16BE(4) !== 1) return null
  if (!sameQuestion(message.subarray(HEADER, HEADER + question.length), question)) return null
  const addresses: AddressRecord[] = []
  const answers = message.readUInt16BE(6)
  let at = HEADER + question.length
  for (let index = 0; index < answers; index++) {
    const name = readName(message, at)
    if (name === null || name.end + 10 > message.length) return null
    const length = message.readUInt16BE(name.end + 8)
    const content = name.end + 10
    if (content + length > message.length) return null
    const isAddress = message.readUInt16BE(name.end) === TYPE.A && message.readUInt16BE(name.end + 2) === CLASS_IN
    if (isAddress && length === 4)
      addresses.push({ address: message.readUInt32BE(content), ttlSeconds: message.readUInt32BE(name.end + 4) })
    at = content + length
  }
  return { rcode: flags & 15, truncated: (flags & FLAG_TRUNCATED) !== 0, addresses, answersEnd: at, answers }
}

/** An answer without records. */
export function encodeEmpty(question: Question, rcode: number, truncated = false): Buffer {
  return Buffer.concat([answerHeader(question, rcode | (truncated ? FLAG_TRUNCATED : 0), 0), question.bytes])
}

/** An answer with addresses, all under the name that was asked for. */
export function encodeAddresses(question: Question, addresses: readonly AddressRecord[]): Buffer {
  const records = addresses.map(({ address, ttlSeconds }) => {
    const record = Buffer.alloc(16)
    record.writeUInt16BE(NAME_POINTER, 0)
    record.writeUInt16BE(TYPE.A, 2)
    record.writeUInt16BE(CLASS_IN, 4)
    record.writeUInt32BE(ttlSeconds, 6)
    record.writeUInt16BE(4, 10)
    record.writeUInt32BE(address, 12)
    return record
  })
  return Buffer.concat([answerHeader(question, RCODE.ok, addresses.length), question.bytes, ...records])
}

/** The answers of a reply as they came, without what else was in it. */
export function encodeRecords(question: Question, message: Buffer, reply: Reply): Buffer {
  const start = HEADER + question.bytes.length
  const records = message.subarray(start, reply.answersEnd)
  return Buffer.concat([answerHeader(question, reply.rcode, reply.answers), question.bytes, records])
}

/** Of a message that is no good question: refused as malformed; null: not even its id can be read. */
export function encodeMalformed(message: Buffer): Buffer | null {
  if (message.length < HEADER || (message.readUInt16BE(2) & FLAG_ANSWER) !== 0) return null
  const answer = header(message.readUInt16BE(0), FLAG_ANSWER | FLAG_RECURSION_HAD | RCODE.format, 0)
  answer.writeUInt16BE(0, 4)
  return answer
}

function answerHeader(question: Question, flags: number, answers: number): Buffer {
  return header(question.id, FLAG_ANSWER | FLAG_RECURSION_WANTED | FLAG_RECURSION_HAD | flags, answers)
}

function header(id: number, flags: number, answers: number): Buffer {
  const bytes = Buffer.alloc(HEADER)
  bytes.writeUInt16BE(id, 0)
  bytes.writeUInt16BE(flags, 2)
  bytes.writeUInt16BE(1, 4)
  bytes.writeUInt16BE(answers, 6)
  return bytes
}

/** Case apart: servers may repeat a name in another case. */
function sameQuestion(one: Buffer, other: Buffer): boolean {
  return one.toString('latin1').toLowerCase() === other.toString('latin1').toLowerCase()
}

/** A name and where it ends in the message; null: malformed. Pointers lead back only, so that none leads in a circle. */
function readName(message: Buffer, from: number): { readonly text: string; readonly end: number } | null {
  const labels: string[] = []
  let at = from
  let end = -1
  let bytes = 0
  for (;;) {
    const length = message[at]
    if (length === undefined) return null
    if (length === 0) return { text: labels.join('.').toLowerCase(), end: end < 0 ? at + 1 : end }
    if ((length & 0xc0) === 0xc0) {
      const low = message[at + 1]
      if (low === undefined) return null
      const target = ((length & 0x3f) << 8) | low
      if (target >= at || target < HEADER) return null
      if (end < 0) end = at + 2
      at = target
      continue
    }
    if ((length & 0xc0) !== 0 || at + 1 + length > message.length) return null
    bytes += length + 1
    if (bytes > MOST_NAME_BYTES) return null
    labels.push(message.toString('latin1', at + 1, at + 1 + length))
    at += length + 1
  }
}
