import { describe, expect, test } from 'vitest'
import { seccompProfile } from '../../../../runtime/oci/seccomp.ts'

const FORBIDDEN = (
  'mount umount2 open_tree move_mount fsopen fsconfig fsmount mount_setattr pivot_root chroot unshare setns ptrace ' +
  'process_vm_readv process_vm_writev bpf perf_event_open io_uring_setup io_uring_enter io_uring_register userfaultfd ' +
  'keyctl add_key request_key open_by_handle_at name_to_handle_at pidfd_getfd init_module finit_module delete_module ' +
  'kexec_load reboot swapon swapoff syslog settimeofday clock_settime acct quotactl personality iopl ioperm seccomp ' +
  'setuid setgid setgroups sethostname'
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

  test('names no call twice in the plain list, and filters clone, clone3, ioctl and sockets by themselves', () => {
    const [plain, ...filtered] = seccompProfile('x64').syscalls
    expect(new Set(plain?.names).size).toBe(plain?.names.length)
    for (const name of ['clone', 'clone3', 'ioctl', 'socket', 'socketpair']) {
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

  test('is not made up for an architecture it does not know', () => {
    expect(() => seccompProfile('mips')).toThrow('mips')
  })
})
