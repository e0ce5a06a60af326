// The filter of a platform's sandboxes as one nftables table, loaded in one transaction: who may send what to whom. Pure text;
// who is in its sets is said by sets.ts while the platform runs.
//
//   sandbox ─▶ pieces ─▶ source ──▶ to_host    (the platform's resolver and its own calls; nothing else of the host)
//                        (spoofing) forwarded ─▶ out: answers · refused ranges · open | resolved | literal ─▶ admit (rate, count) ─▶ NAT
import { SPECIAL_V4 } from './addresses.ts'

export interface RulesetOptions {
  /** Name of the table. */
  readonly table: string
  /** What the names of the sandboxes' interfaces on the host begin with. */
  readonly interfacePrefix: string
  /** The platform's own address on the network. */
  readonly gateway: string
  /** Addresses of sandboxes, `a.b.c.d/n`. */
  readonly subnet: string
  /** Networks an administrator allows though they are not public. */
  readonly allowed: readonly string[]
  /** Interfaces of the host between which nothing passes: nothing did before its forwarding was turned on for sandboxes. */
  readonly apart: readonly string[]
}

/** New connections of one sandbox: a second, at once on top, and open together. */
export const CONNECTION_LIMITS = Object.freeze({ perSecond: 100, burst: 200, open: 256 })
/** Datagrams with questions for names, of one sandbox: above what the resolver answers, which drops the rest at more cost. */
const QUESTIONS = Object.freeze({ perSecond: 100, burst: 300 })
/** Ports of the platform's own address that sandboxes may use: its resolver, and calls of other functions. */
export const PLATFORM_PORTS = Object.freeze({ names: 53, calls: 80 })
/** The kernel puts pieces of datagrams together at -400, for all in one memory of 4 MiB (ip-sysctl, ipfrag_high_thresh). */
const BEFORE_DEFRAGMENTATION = -450
/** Sandboxes at once, with room for those that are going. */
const MOST_ADDRESSES = 4096
const MOST_GRANTS = 65_536

/** The text for `nft -f`. */
export function rulesetText(options: RulesetOptions): string {
  const { table, interfacePrefix, gateway, subnet, allowed, apart } = options
  const ours = `"${interfacePrefix}*"`
  const others = `{ ${apart.map((name) => `"${name}"`).join(', ')} }`
  const refuse = 'goto refuse'
  const { perSecond, burst, open } = CONNECTION_LIMITS
  const elements = (list: readonly string[]) => (list.length === 0 ? '' : ` elements = { ${list.join(', ')} };`)
  return `
add table inet ${table}
delete table inet ${table}
table inet ${table} {
  set refused { type ipv4_addr; flags interval;${elements(SPECIAL_V4)} }
  set allowed { type ipv4_addr; flags interval; auto-merge;${elements(allowed)} }
  set sandboxes { type ifname . ipv4_addr; size ${MOST_ADDRESSES}; }
  set open { type ipv4_addr; size ${MOST_ADDRESSES}; }
  set resolved { type ipv4_addr . ipv4_addr; flags timeout; size ${MOST_GRANTS}; }
  set resolved_port { type ipv4_addr . ipv4_addr . inet_service; flags timeout; size ${MOST_GRANTS}; }
  set excused { type ipv4_addr . ipv4_addr; flags timeout; size ${MOST_GRANTS}; }
  set literal { type ipv4_addr . ipv4_addr . inet_service; flags interval; }
  set rate { type ipv4_addr; flags dynamic,timeout; timeout 10s; size ${MOST_ADDRESSES}; }
  set questions { type ipv4_addr; flags dynamic,timeout; timeout 10s; size ${MOST_ADDRESSES}; }
  set count { type ipv4_addr; flags dynamic; size ${MOST_ADDRESSES}; }
  chain pieces {
    type filter hook prerouting priority ${BEFORE_DEFRAGMENTATION}; policy accept;
    iifname ${ours} ip frag-off & 0x3fff != 0 drop
  }
  chain source {
    type filter hook prerouting priority raw; policy accept;
    iifname != ${ours} accept
    iifname . ip saddr != @sandboxes drop
    meta l4proto != { tcp, udp, icmp } drop
  }
  chain to_host {
    type filter hook input priority filter; policy accept;
    iifname != ${ours} accept
    ip daddr ${gateway} udp dport ${PLATFORM_PORTS.names} update @questions { ip saddr limit rate over ${QUESTIONS.perSecond}/second burst ${QUESTIONS.burst} packets } drop
    ct state established,related accept
    ip daddr ${gateway} udp dport ${PLATFORM_PORTS.names} goto admit
    ip daddr ${gateway} tcp dport { ${PLATFORM_PORTS.names}, ${PLATFORM_PORTS.calls} } goto admit
    ${refuse}
  }
  chain forwarded {
    type filter hook forward priority filter; policy accept;
    iifname ${ours} jump out
    oifname ${ours} ct state established,related accept
    oifname ${ours} drop${apart.length === 0 ? '' : `\n    iifname ${others} oifname ${others} drop`}
  }
  chain out {
    ct state established,related accept
    ct state invalid drop
    meta l4proto != { tcp, udp } ${refuse}
    ip daddr @refused ip daddr != @allowed ip saddr . ip daddr != @excused ${refuse}
    ip saddr @open goto admit
    ip saddr . ip daddr @resolved goto admit
    ip saddr . ip daddr . th dport @resolved_port goto admit
    ip saddr . ip daddr . th dport @literal goto admit
    ${refuse}
  }
  chain admit {
    update @rate { ip saddr limit rate over ${perSecond}/second burst ${burst} packets } ${refuse}
    add @count { ip saddr ct count over ${open} } ${refuse}
    accept
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }
  chain translate {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${subnet} oifname != ${ours} masquerade
  }
}
`
}
