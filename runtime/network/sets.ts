// Members of the sets in the platform's table, changed by netlink: a change takes microseconds and is in force when the call
// returns. Owns a socket; which sandbox may what is decided by its callers.
import { attribute, type NetlinkMessage, NetlinkSocket, NLM_F, nested, zeroTerminated } from '../host/netlink.ts'
import { SystemError } from '../host/syscalls.ts'

/** Sets of ruleset.ts that change while the platform runs. */
export type SetName = 'sandboxes' | 'open' | 'resolved' | 'resolved_port' | 'excused' | 'literal'

/** One member: its key as the kernel compares it (`key.ts` of each field, padded to four bytes), and of intervals the end. */
export interface SetMember {
  readonly set: SetName
  readonly key: Buffer
  readonly end?: Buffer
  /** It goes by itself after so long; absent: it stays. */
  readonly timeoutMs?: number
}

const SUBSYSTEM = 10 << 8
const NEW_ELEMENT = SUBSYSTEM | 12
const DELETE_ELEMENT = SUBSYSTEM | 14
const BATCH_BEGIN = 0x10
const BATCH_END = 0x11
const FAMILY_INET = 1
/** Removed in one transaction: the acknowledgements of more might not fit the socket. */
const AT_ONCE = 64

export class TableSets {
  readonly #socket: NetlinkSocket
  readonly #table: string

  /** Throws SystemError. */
  constructor(table: string) {
    this.#table = table
    this.#socket = new NetlinkSocket('netfilter')
  }

  /** Adds all or none; one that is there already stays as it is. Throws SystemError. */
  add(members: readonly SetMember[]): void {
    if (members.length > 0) this.#batch([], members)
  }

  /** Puts members in the place of others, their timeouts anew, without an instant in which neither is there. Throws SystemError. */
  replace(old: readonly SetMember[], members: readonly SetMember[]): void {
    try {
      this.#batch(old, members)
    } catch (error) {
      if (!(error instanceof SystemError) || error.code !== 'ENOENT') throw error
      this.remove(old) // some had gone by themselves
      this.add(members)
    }
  }

  /** Removes members; those that are not there any more are fine. Throws SystemError. */
  remove(members: readonly SetMember[]): void {
    for (let from = 0; from < members.length; from += AT_ONCE) this.#removeBatch(members.slice(from, from + AT_ONCE))
  }

  /** The kernel takes none of a batch of which one is missing: then each half is tried. */
  #removeBatch(members: readonly SetMember[]): void {
    try {
      this.#batch(members, [])
    } catch (error) {
      if (!(error instanceof SystemError) || error.code !== 'ENOENT') throw error
      if (members.length === 1) return
      const half = members.length >> 1
      this.#removeBatch(members.slice(0, half))
      this.#removeBatch(members.slice(half))
    }
  }

  close(): void {
    this.#socket.close()
  }

  /** One transaction: all of it, or an error and nothing. */
  #batch(gone: readonly SetMember[], added: readonly SetMember[]): void {
    const messages: NetlinkMessage[] = [
      ...gone.map((member) => ({ type: DELETE_ELEMENT, flags: NLM_F.ack, body: this.#body(member) })),
      ...added.map((member) => ({ type: NEW_ELEMENT, flags: NLM_F.ack | NLM_F.create, body: this.#body(member) })),
    ]
    const bounds = Buffer.from([0, 0, 0, 10])
    this.#socket.request([
      { type: BATCH_BEGIN, flags: 0, body: bounds },
      ...messages,
      { type: BATCH_END, flags: 0, body: bounds },
    ])
  }

  #body({ set, key, end, timeoutMs }: SetMember): Buffer {
    const parts = [nested(1, attribute(1, key))]
    if (timeoutMs !== undefined) parts.push(attribute(4, bigEndian64(timeoutMs)))
    if (end !== undefined) parts.push(nested(10, attribute(1, end)))
    return Buffer.concat([
      Buffer.from([FAMILY_INET, 0, 0, 0]),
      attribute(1, zeroTerminated(this.#table)),
      attribute(2, zeroTerminated(set)),
      nested(3, nested(1, ...parts)),
    ])
  }
}

/** Key of an address, or of addresses one after the other. */
export function addressKey(...addresses: readonly number[]): Buffer {
  const key = Buffer.alloc(4 * addresses.length)
  for (const [index, address] of addresses.entries()) key.writeUInt32BE(address, 4 * index)
  return key
}

/** Key of a port, as part of another. */
export function portKey(port: number): Buffer {
  const key = Buffer.alloc(4)
  key.writeUInt16BE(port, 0)
  return key
}

/** Key of an interface's name, as part of another. */
export function interfaceKey(name: string): Buffer {
  const key = Buffer.alloc(16)
  key.write(name, 'latin1')
  return key
}

function bigEndian64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
