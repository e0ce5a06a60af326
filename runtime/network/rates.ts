// Bytes a second of an interface: a token bucket (tc-tbf(8)) at the end that sends, set by netlink. A packet above the rate
// waits, so that TCP finds its pace; what waits too long is dropped.
import { attribute, type NetlinkMessage, type NetlinkSocket, NLM_F, nested, zeroTerminated } from '../host/netlink.ts'
import { SystemError } from '../host/syscalls.ts'

const RTM_NEWQDISC = 36
const TC_H_ROOT = 0xffffffff
const LINK_LAYER_ETHERNET = 1
/** What may pass at once; a packet of the largest size always must. */
const BURST_MS = 20
const SMALLEST_BURST = 16 * 1024
/** What may wait. */
const QUEUE_MS = 200
const SMALLEST_QUEUE = 64 * 1024
const MOST_U32 = 0xffffffff

/** In force where a limit is taken away again: removing the bucket would hold the event loop up for 15 ms (RCU), this does not. */
const UNLIMITED = 2 ** 40

/** What one end of a link may send. */
export class SendRate {
  readonly #socket: NetlinkSocket
  readonly #index: number
  #now: number | null = null
  #made = false

  constructor(socket: NetlinkSocket, interfaceIndex: number) {
    this.#socket = socket
    this.#index = interfaceIndex
  }

  /** Bytes a second from now on; null: as many as there are. Throws Error when the kernel has no such thing. */
  set(bytesPerSecond: number | null): void {
    if (bytesPerSecond === this.#now) return
    if (bytesPerSecond !== null || this.#made) this.#put(bytesPerSecond ?? UNLIMITED)
    this.#made = true
    this.#now = bytesPerSecond
  }

  #put(bytesPerSecond: number): void {
    try {
      this.#socket.request([tokenBucket(this.#index, bytesPerSecond)])
    } catch (error) {
      if (!(error instanceof SystemError) || error.code !== 'ENOENT') throw error
      throw new Error('this kernel has no token bucket for rates of a network: modprobe sch_tbf', { cause: error })
    }
  }
}

function tokenBucket(interfaceIndex: number, bytesPerSecond: number): NetlinkMessage {
  const burst = Math.min(MOST_U32, Math.max(SMALLEST_BURST, Math.ceil((bytesPerSecond * BURST_MS) / 1000)))
  const parameters = Buffer.alloc(36)
  parameters.writeUInt8(LINK_LAYER_ETHERNET, 1)
  parameters.writeUInt32LE(Math.min(MOST_U32, bytesPerSecond), 8)
  const queue = Math.max(SMALLEST_QUEUE, Math.ceil((bytesPerSecond * QUEUE_MS) / 1000))
  parameters.writeUInt32LE(Math.min(MOST_U32, queue), 24)
  const rate64 = Buffer.alloc(8)
  rate64.writeBigUInt64LE(BigInt(bytesPerSecond))
  const burstBytes = Buffer.alloc(4)
  burstBytes.writeUInt32LE(burst)
  const options = [attribute(1, parameters), attribute(6, burstBytes)]
  if (bytesPerSecond > MOST_U32) options.push(attribute(4, rate64))
  const body = Buffer.concat([trafficHead(interfaceIndex), attribute(1, zeroTerminated('tbf')), nested(2, ...options)])
  return { type: RTM_NEWQDISC, flags: NLM_F.ack | NLM_F.create | NLM_F.replace, body }
}

/** struct tcmsg */
function trafficHead(interfaceIndex: number): Buffer {
  const head = Buffer.alloc(20)
  head.writeInt32LE(interfaceIndex, 4)
  head.writeUInt32LE(TC_H_ROOT, 12)
  return head
}
