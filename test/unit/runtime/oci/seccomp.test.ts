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
    const profile = seccompProfile(arch)
    expect(profile.architectures).toHaveLength(1)
    expect(profile.defaultAction).toBe('SCMP_ACT_ERRNO')
  })

  test('allows nothing that leads out', () => {
    const allowed = seccompProfile('x64').syscalls.flatMap((rule) =>
      rule.action === 'SCMP_ACT_ALLOW' ? rule.names : [],
    )
    expect(FORBIDDEN.filter((name) => allowed.includes(name))).toEqual([])
  })

  test('names no call twice in the plain list, and filters clone, clone3, ioctl, prctl and sockets by themselves', () => {
    const [plain, ...filtered] = seccompProfile('x64').syscalls
    expect(new Set(plain?.names).size).toBe(plain?.names.length)
    for (const name of ['clone', 'clone3', 'ioctl', 'prctl', 'socket', 'socketpair']) {
      expect(plain?.names).not.toContain(name)
      expect(
        filtered.some((rule) => rule.names.includes(name)),
        name,
      ).toBe(true)
    }
  })

  test('answers clone3 as an old kernel would, so that the C library falls back', () => {
    const rule = seccompProfile('arm64').syscalls.find((one) => one.names.includes('clone3'))
    expect(rule).toMatchObject({ action: 'SCMP_ACT_ERRNO', errnoRet: 38 })
  })

  test('compares what the kernel reads as 32 bits by a mask of 32 bits', () => {
    const ioctls = seccompProfile('x64').syscalls.filter((rule) => rule.names.includes('ioctl'))
    for (const rule of ioctls) expect(rule.args?.[0]).toMatchObject({ index: 1, op: 'SCMP_CMP_MASKED_EQ' })
    const passes = (request: bigint) =>
      ioctls.some(({ args }) => (request & BigInt(args![0]!.value)) === BigInt(args![0]!.valueTwo!))
    expect([0x5401n, 0x5413n, 0x541bn, 0x5421n].map(passes)).toEqual([true, true, true, true])
    expect([0x5412n, 0x1_0000_5412n, 0x541cn].map(passes)).toEqual([false, false, false])
  })

  test('gives every family a reason', () => {
    for (const [name, { reason }] of Object.entries(ALLOWED_FAMILIES)) expect(reason, name).toMatch(/\.$/)
  })

  test('is not made up for an architecture it does not know', () => {
    expect(() => seccompProfile('mips')).toThrow('mips')
  })
})
