// The kernel's table of connections: forgetting those of a sandbox that is gone, so that nothing of them is anything to the next
// one with its address. By netlink (a filter, Linux 5.8 or newer; an older kernel lets them time out).
import { attribute, type NetlinkSocket, NLM_F, nested } from '../host/netlink.ts'
import { SystemError } from '../host/syscalls.ts'

const DELETE = (1 << 8) | 2
const AF_INET = 2
const CTA_TUPLE_ORIG = 1
const CTA_FILTER = 25
const BY_SOURCE = 1

/** Forgets every connection that `address` began. Throws SystemError, not for "there is none". */
export function forgetConnections(socket: NetlinkSocket, address: number): void {
  const source = Buffer.alloc(4)
  source.writeUInt32BE(address)
  const flags = Buffer.alloc(4)
  flags.writeUInt32LE(BY_SOURCE)
  const none = Buffer.alloc(4)
  const body = Buffer.concat([
    Buffer.from([AF_INET, 0, 0, 0]),
    nested(CTA_TUPLE_ORIG, nested(1, attribute(1, source))),
    nested(CTA_FILTER, attribute(1, flags), attribute(2, none)),
  ])
  try {
    socket.request([{ type: DELETE, flags: NLM_F.ack, body }])
  } catch (error) {
    if (!(error instanceof SystemError) || !['ENOENT', 'EINVAL'].includes(error.code)) throw error
  }
}
