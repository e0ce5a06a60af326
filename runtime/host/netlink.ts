// Netlink sockets through koffi: a request with its acknowledgement takes some 20 µs, a program to say the same takes 4 ms.
// Knows framing, errors and how a socket gets into another network namespace; what is said is runtime/network's.
import { closeSync, openSync } from 'node:fs'
import { getSystemErrorName } from 'node:util'
import koffi from 'koffi'
import { SystemError } from './syscalls.ts'

const libc = koffi.load('libc.so.6')
const call = {
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, void *value, unsigned int length)'),
  send: libc.func('long send(int fd, void *buffer, size_t length, int flags)'),
  recv: libc.func('long recv(int fd, void *buffer, size_t length, int flags)'),
  setns: libc.func('int setns(int fd, int kind)'),
}
const AF_NETLINK = 16
const SOCK_RAW_CLOEXEC = 3 | 0o2000000
const PROTOCOLS = { route: 0, netfilter: 12 } as const
const CLONE_NEWNET = 0x40000000
const SOL_SOCKET = 1
const SO_RCVTIMEO = 20
/** The kernel answers within the call; only one that lost an answer would wait. */
const ANSWER_SECONDS = 5n

const HEADER_BYTES = 16
const NLMSG_ERROR = 2
/** Flags of requests. */
export const NLM_F = { request: 1, ack: 4, replace: 0x100, create: 0x400 } as const

/** One message without its header. `flags` besides NLM_F.request; only one with NLM_F.ack is waited for. */
export interface NetlinkMessage {
  readonly type: number
  readonly flags: number
  readonly body: Buffer
}

export class NetlinkSocket {
  readonly #fd: number
  readonly #what: string
  readonly #answer = Buffer.alloc(8192)
  #sequence = 0
  #closed = false

  /** In the network namespace at `namespacePath`; default: the platform's own. Throws SystemError. */
  constructor(protocol: keyof typeof PROTOCOLS, namespacePath: string | null = null) {
    this.#what = `${protocol} netlink${namespacePath === null ? '' : ` in ${namespacePath}`}`
    const open = () => checked(call.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, PROTOCOLS[protocol]), 'socket', this.#what)
    this.#fd = namespacePath === null ? open() : inNetworkNamespace(namespacePath, open)
    const timeout = Buffer.alloc(16)
    timeout.writeBigInt64LE(ANSWER_SECONDS, 0)
    checked(call.setsockopt(this.#fd, SOL_SOCKET, SO_RCVTIMEO, timeout, 16), 'setsockopt', this.#what)
  }

  /** Sends all in one datagram and waits for the acknowledgements. Throws SystemError with the kernel's first error. */
  request(messages: readonly NetlinkMessage[]): void {
    const first = this.#sequence + 1
    const packets = messages.map((message) => this.#packet(message))
    const bytes = Buffer.concat(packets)
    checked(Number(call.send(this.#fd, bytes, bytes.length, 0)), 'send', this.#what)
    let missing = messages.filter(({ flags }) => (flags & NLM_F.ack) !== 0).length
    while (missing > 0) {
      const length = checked(Number(call.recv(this.#fd, this.#answer, this.#answer.length, 0)), 'recv', this.#what)
      missing -= this.#acknowledged(length, first)
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    closeSync(this.#fd)
  }

  #packet({ type, flags, body }: NetlinkMessage): Buffer {
    const packet = Buffer.alloc(HEADER_BYTES + Math.ceil(body.length / 4) * 4)
    packet.writeUInt32LE(HEADER_BYTES + body.length, 0)
    packet.writeUInt16LE(type, 4)
    packet.writeUInt16LE(NLM_F.request | flags, 6)
    packet.writeUInt32LE(++this.#sequence, 8)
    body.copy(packet, HEADER_BYTES)
    return packet
  }

  /** Acknowledgements in the first `length` bytes. Those of requests before `first` (one that failed early) do not count. */
  #acknowledged(length: number, first: number): number {
    let count = 0
    for (let at = 0; at + HEADER_BYTES <= length; ) {
      const size = this.#answer.readUInt32LE(at)
      if (size < HEADER_BYTES) break
      const isOurs = this.#answer.readUInt32LE(at + 8) >= first
      if (isOurs && this.#answer.readUInt16LE(at + 4) === NLMSG_ERROR) {
        const error = this.#answer.readInt32LE(at + HEADER_BYTES)
        if (error !== 0) throw new SystemError('netlink', getSystemErrorName(error), this.#what)
        count++
      }
      at += Math.ceil(size / 4) * 4
    }
    return count
  }
}

/** An attribute with its length, padded to four bytes. */
export function attribute(type: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(Math.ceil((4 + payload.length) / 4) * 4)
  bytes.writeUInt16LE(4 + payload.length, 0)
  bytes.writeUInt16LE(type, 2)
  payload.copy(bytes, 4)
  return bytes
}

const NESTED = 0x8000

/** An attribute of attributes. */
export function nested(type: number, ...attributes: readonly Buffer[]): Buffer {
  return attribute(type | NESTED, Buffer.concat(attributes))
}

/** A text as the kernel reads it, with its final zero. */
export function zeroTerminated(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'latin1')
}

/** Runs `open` with this thread in another network namespace. What it opens stays there.
 *  ORDER: nothing asynchronous in between, so nothing else of the platform ever runs there. */
function inNetworkNamespace(path: string, open: () => number): number {
  const own = openSync('/proc/thread-self/ns/net', 'r')
  try {
    const other = openSync(path, 'r')
    try {
      checked(call.setns(other, CLONE_NEWNET), 'setns', path)
      try {
        return open()
      } finally {
        checked(call.setns(own, CLONE_NEWNET), 'setns', 'back')
      }
    } finally {
      closeSync(other)
    }
  } finally {
    closeSync(own)
  }
}

function checked(result: number, syscall: string, what: string): number {
  if (result >= 0) return result
  throw new SystemError(syscall, getSystemErrorName(-koffi.errno()), what)
}
