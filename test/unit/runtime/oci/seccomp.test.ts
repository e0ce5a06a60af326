import { describe, expect, test } from 'vitest'
import { ALLOWED_FAMILIES, seccompProfile } from '../../../../runtime/oci/seccomp.ts'

const FORBIDDEN = (
  'mount umount2 open_tree move_mount fsopen fsconfig fsmount mount_setattr pivot_root chroot unshare setns ptrace ' +
  'process_vm_readv process_vm_writev bpf perf_event_open io_uring_setup io_uring_enter io_uring_register userfaultfd ' +
  'keyctl add_key request_key open_by_handle_at name_to_handle_at pidfd_getfd init_module finit_module delete_module ' +
  'kexec_load reboot swapon swapoff syslog settimeofday clock_settime acct quotactl personality iopl ioperm seccomp ' +
  'setuid setgid setgroups sethostname inotify_init inotify_init1'
).split(' ')

describe('the seccomp profile', () => {
  test.each(['x64', 'arm64'])('of %s allows the host’s own ABI only and refuses what is not listed', (arch) => {
    const profile = seccompProfile(arch, { lingers: true })
    expect(profile.architectures).toHaveLength(1)
    expect(profile.defaultAction).toBe('SCMP_ACT_ERRNO')
  })

  test('allows nothing that leads out', () => {
    const allowed = seccompProfile('x64', { lingers: true }).syscalls.flatMap((rule) =>
      rule.action === 'SCMP_ACT_ALLOW' ? rule.names : [],
    )
    expect(FORBIDDEN.filter((name) => allowed.includes(name))).toEqual([])
  })

  test('names no call twice in the plain list, and filters by themselves what is judged by its arguments', () => {
    const [plain, ...filtered] = seccompProfile('x64', { lingers: true }).syscalls
    expect(new Set(plain?.names).size).toBe(plain?.names.length)
    for (const name of [
      ...['clone', 'clone3', 'ioctl', 'prctl', 'socket', 'socketpair'],
      ...['setsockopt', 'fcntl', 'mmap', 'memfd_create'],
    ]) {
      expect(plain?.names).not.toContain(name)
      expect(
        filtered.some((rule) => rule.names.includes(name)),
        name,
      ).toBe(true)
    }
  })

  test('answers clone3 as an old kernel would, so that the C library falls back', () => {
    const rule = seccompProfile('arm64', { lingers: true }).syscalls.find((one) => one.names.includes('clone3'))
    expect(rule).toMatchObject({ action: 'SCMP_ACT_ERRNO', errnoRet: 38 })
  })

  test('compares what the kernel reads as 32 bits by a mask of 32 bits', () => {
    const ioctls = seccompProfile('x64', { lingers: true }).syscalls.filter((rule) => rule.names.includes('ioctl'))
    for (const rule of ioctls) expect(rule.args?.[0]).toMatchObject({ index: 1, op: 'SCMP_CMP_MASKED_EQ' })
    const passes = (request: bigint) =>
      ioctls.some(({ args }) => (request & BigInt(args![0]!.value)) === BigInt(args![0]!.valueTwo!))
    expect([0x5401n, 0x5413n, 0x541bn, 0x5421n].map(passes)).toEqual([true, true, true, true])
    expect([0x5412n, 0x1_0000_5412n, 0x541cn].map(passes)).toEqual([false, false, false])
  })

  test('sockets may not linger where they could be passed to the platform', () => {
    const linger = ['setsockopt', 3, 1, 13] as const
    expect([passes(...linger), passesOn(false, ...linger), passesOn(false, 'setsockopt', 3, 1, 9)]).toEqual([
      true,
      false,
      true,
    ])
  })

  /** Whether a call with these arguments is let through. */
  function passes(name: string, ...given: number[]): boolean {
    return passesOn(true, name, ...given)
  }

  function passesOn(lingers: boolean, name: string, ...given: number[]): boolean {
    const rules = seccompProfile('x64', { lingers }).syscalls.filter((rule) => rule.names.includes(name))
    return rules.some(({ action, args = [] }) => {
      const fits = args.every(({ index, op, value, valueTwo = 0 }) => {
        const argument = BigInt(given[index] ?? 0)
        return op === 'SCMP_CMP_EQ' ? argument === BigInt(value) : (argument & BigInt(value)) === BigInt(valueTwo)
      })
      return action === 'SCMP_ACT_ALLOW' && fits
    })
  }

  test.each<[string, ...number[]]>([
    ['setsockopt', 3, 1, 26], // SO_ATTACH_FILTER
    ['setsockopt', 3, 2 ** 32 + 1, 26],
    ['setsockopt', 3, 1, 2 ** 32 + 50], // SO_ATTACH_BPF
    ['setsockopt', 3, 1, 51],
    ['setsockopt', 3, 1, 52],
    ['setsockopt', 3, 1, 29], // SO_TIMESTAMP
    ['setsockopt', 3, 1, 37],
    ['setsockopt', 3, 6, 31], // TCP_ULP
    ['setsockopt', 3, 0, 35], // IP_ADD_MEMBERSHIP
    ['setsockopt', 3, 41, 32], // IPV6_FLOWLABEL_MGR
    ['setsockopt', 3, 263, 0], // SOL_PACKET
    ['prctl', 22], // PR_SET_SECCOMP
    ['prctl', 2 ** 32 + 22],
    ['prctl', 62],
    ['prctl', 67],
    ['fcntl', 3, 37], // F_OFD_SETLK
    ['fcntl', 3, 1024], // F_SETLEASE
    ['fcntl', 3, 1026], // F_NOTIFY
    ['mmap', 0, 4096, 3, 0x40022], // MAP_HUGETLB
    ['memfd_create', 0, 5], // MFD_HUGETLB
    ['socket', 2, 1, 262], // MPTCP
    ['socket', 2, 2, 136], // UDP-Lite
    ['socket', 2, 3, 1], // raw
    ['socket', 10, 1, 132], // SCTP
    ['ioctl', 3, 0x8906], // SIOCGSTAMP
  ])('refuses %s of what the whole machine has to share: %s %s %s %s', (name, ...given) => {
    expect(passes(name, ...given)).toBe(false)
  })

  test.each<[string, ...number[]]>([
    ['setsockopt', 3, 1, 2], // SO_REUSEADDR
    ['setsockopt', 3, 6, 1], // TCP_NODELAY
    ['setsockopt', 3, 41, 26], // IPV6_V6ONLY
    ['prctl', 1],
    ['prctl', 15],
    ['prctl', 38],
    ['prctl', 61],
    ['prctl', 0x53564d41],
    ['fcntl', 3, 2],
    ['fcntl', 3, 6], // F_SETLK
    ['fcntl', 3, 1030],
    ['fcntl', 3, 1031],
    ['mmap', 0, 4096, 3, 0x22],
    ['memfd_create', 0, 1],
    ['socket', 2, 0o4000 | 1, 6],
    ['socket', 10, 0o2000000 | 2, 0],
    ['socket', 1, 5, 0],
  ])('lets through what programs need: %s %s %s %s %s', (name, ...given) => {
    expect(passes(name, ...given)).toBe(true)
  })

  test('gives every family a reason', () => {
    for (const [name, { reason }] of Object.entries(ALLOWED_FAMILIES)) expect(reason, name).toMatch(/\.$/)
  })

  test('is not made up for an architecture it does not know', () => {
    expect(() => seccompProfile('mips', { lingers: true })).toThrow('mips')
  })
})
