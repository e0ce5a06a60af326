// The socket options code inside a sandbox may set, by level. Pure data for the seccomp profile. What is left out costs the whole
// machine something that no cgroup counts, or is for programs that a sandbox does not run.
//
//   SO_ATTACH_FILTER, _BPF, _REUSEPORT_CBPF, _REUSEPORT_EBPF   pages of net.core.bpf_jit_limit, from which every seccomp filter
//                                                             of the host is taken: used up, no sandbox starts any more
//   SO_TIMESTAMP…, TCP_MD5SIG, UDP_ENCAP, UDP_GRO              patch the running kernel: every packet of the host gets slower
//   SO_ZEROCOPY                                               pins memory
//   TCP_DEFER_ACCEPT, TCP_FASTOPEN                            half-open connections, which the kernel does not charge
//   TCP_ULP, TCP_CONGESTION                                   have the kernel load modules
//   IP_ADD_MEMBERSHIP and its relatives                       groups, which the kernel does not charge; a sandbox has no use for them
//   IPV6_FLOWLABEL_MGR                                        4,096 labels for the whole machine

/** Options of one level of setsockopt(2). */
export interface SocketOptions {
  readonly level: number
  /** Numbers of `include/uapi` (the same on x86-64 and arm64), each with its name. */
  readonly options: Readonly<Record<string, number>>
}

/** Every option that may be set. */
export const SOCKET_OPTIONS: readonly SocketOptions[] = [
  {
    level: 1, // SOL_SOCKET, socket(7)
    options: {
      SO_REUSEADDR: 2,
      SO_DONTROUTE: 5,
      SO_BROADCAST: 6,
      SO_SNDBUF: 7,
      SO_RCVBUF: 8,
      SO_KEEPALIVE: 9,
      SO_OOBINLINE: 10,
      SO_PRIORITY: 12,
      SO_LINGER: 13,
      SO_REUSEPORT: 15,
      SO_PASSCRED: 16,
      SO_RCVLOWAT: 18,
      SO_RCVTIMEO: 20,
      SO_SNDTIMEO: 21,
      SO_PEEK_OFF: 42,
      SO_INCOMING_CPU: 49,
      SO_RCVTIMEO_NEW: 66,
      SO_SNDTIMEO_NEW: 67,
      SO_PASSPIDFD: 76,
      SO_PASSRIGHTS: 83,
    },
  },
  {
    level: 6, // IPPROTO_TCP, tcp(7)
    options: {
      TCP_NODELAY: 1,
      TCP_MAXSEG: 2,
      TCP_CORK: 3,
      TCP_KEEPIDLE: 4,
      TCP_KEEPINTVL: 5,
      TCP_KEEPCNT: 6,
      TCP_SYNCNT: 7,
      TCP_LINGER2: 8,
      TCP_WINDOW_CLAMP: 10,
      TCP_QUICKACK: 12,
      TCP_USER_TIMEOUT: 18,
      TCP_NOTSENT_LOWAT: 25,
    },
  },
  { level: 17, options: { UDP_CORK: 1, UDP_SEGMENT: 103 } }, // IPPROTO_UDP, udp(7)
  {
    level: 0, // IPPROTO_IP, ip(7)
    options: {
      IP_TOS: 1,
      IP_TTL: 2,
      IP_PKTINFO: 8,
      IP_MTU_DISCOVER: 10,
      IP_RECVERR: 11,
      IP_RECVTTL: 12,
      IP_RECVTOS: 13,
      IP_FREEBIND: 15,
      IP_BIND_ADDRESS_NO_PORT: 24,
      IP_MULTICAST_IF: 32,
      IP_MULTICAST_TTL: 33,
      IP_MULTICAST_LOOP: 34,
    },
  },
  {
    level: 41, // IPPROTO_IPV6, ipv6(7)
    options: {
      IPV6_UNICAST_HOPS: 16,
      IPV6_MULTICAST_IF: 17,
      IPV6_MULTICAST_HOPS: 18,
      IPV6_MULTICAST_LOOP: 19,
      IPV6_MTU_DISCOVER: 23,
      IPV6_RECVERR: 25,
      IPV6_V6ONLY: 26,
      IPV6_RECVPKTINFO: 49,
      IPV6_RECVHOPLIMIT: 51,
      IPV6_RECVTCLASS: 66,
      IPV6_TCLASS: 67,
    },
  },
]
