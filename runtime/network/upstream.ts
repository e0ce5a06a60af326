// Asks the host's name servers: a socket of its own for each question (its port is part of the secret that keeps forged answers
// out), the next server when one is silent, TCP when an answer is too long. Keeps nothing.
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { encodeQuery, parseReply, type Reply } from './dns-message.ts'

export interface UpstreamAnswer {
  readonly message: Buffer
  readonly reply: Reply
}

/** Asks servers one after the other; null: none answered. Never rejects. */
export type Ask = (question: Buffer) => Promise<UpstreamAnswer | null>

/** How long one server is waited for. */
const TIMEOUT_MS = 2_500
const ROUNDS = 2
const MOST_BYTES = 65_535

/** `servers` are looked up for each question: `a.b.c.d`, `a.b.c.d:port`. */
export function createUpstream(servers: () => readonly string[], timeoutMs: number = TIMEOUT_MS): Ask {
  return async (question) => {
    const targets = servers().map(parseServer)
    for (let round = 0; round < ROUNDS; round++) {
      for (const target of targets) {
        const answer = await askByDatagram(target, question, timeoutMs)
        if (answer === null) continue
        return answer.reply.truncated ? ((await askByStream(target, question, timeoutMs)) ?? answer) : answer
      }
    }
    return null
  }
}

interface Target {
  readonly host: string
  readonly port: number
}

/** `a.b.c.d`, `a.b.c.d:port`, an IPv6 address, or `[it]:port`. */
export function parseServer(text: string): Target {
  if (isIPv6(text)) return { host: text, port: 53 }
  const match = /^\[?([^\]]+?)\]?(?::(\d+))?$/.exec(text)
  return { host: match?.[1] ?? text, port: Number(match?.[2] ?? 53) }
}

/** The name servers of a resolv.conf. */
export function parseNameServers(text: string): string[] {
  return [...text.matchAll(/^\s*nameserver\s+([0-9a-f.:]+)/gim)].map((match) => match[1] as string)
}

function askByDatagram({ host, port }: Target, question: Buffer, timeoutMs: number): Promise<UpstreamAnswer | null> {
  const id = randomInt(65_536)
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
    const end = (answer: UpstreamAnswer | null): void => {
      clearTimeout(timer)
      socket.removeAllListeners('message')
      socket.close()
      resolve(answer)
    }
    const timer = setTimeout(() => end(null), timeoutMs)
    socket.once('error', () => end(null))
    // Connected: the kernel takes datagrams of that server alone.
    socket.connect(port, host, (error?: Error) => {
      if (error === undefined) socket.send(encodeQuery(id, question))
    })
    socket.on('message', (message) => {
      const reply = parseReply(message, id, question)
      if (reply !== null) end({ message, reply })
    })
  })
}

function askByStream({ host, port }: Target, question: Buffer, timeoutMs: number): Promise<UpstreamAnswer | null> {
  const id = randomInt(65_536)
  return new Promise((resolve) => {
    let received = Buffer.alloc(0)
    const socket = connect(port, host)
    const end = (answer: UpstreamAnswer | null): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answer)
    }
    // For the whole of it: an answer that drips is none.
    const timer = setTimeout(() => end(null), timeoutMs)
    socket.once('error', () => end(null))
    socket.once('close', () => end(null))
    socket.once('connect', () => socket.write(framed(encodeQuery(id, question))))
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      if (received.length > MOST_BYTES + 2) return end(null)
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return
      const message = received.subarray(2, 2 + received.readUInt16BE(0))
      const reply = parseReply(message, id, question)
      end(reply === null ? null : { message, reply })
    })
  })
}

/** As messages go over TCP: with their length in front. */
export function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}
