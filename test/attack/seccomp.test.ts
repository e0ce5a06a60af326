// The seccomp allow-list beside Debian's profile for containers (package golang-github-containers-common, unpacked by
// `bin/setup --test`): what that profile forbids or ties to a capability is refused here too, and every difference has its reason.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { seccompProfile } from '../../runtime/oci/seccomp.ts'
import { ROOT } from '../support/platform.ts'
import { X86_64_CALLS } from './x86-64-calls.ts'

interface DebianRule {
  readonly names: readonly string[]
  readonly action: string
  readonly args?: readonly unknown[] | null
  readonly includes?: { readonly caps?: readonly string[]; readonly arches?: readonly string[] }
}

const FILE = join(ROOT, '.cache', 'seccomp', 'seccomp.json')
const ARCHES = ['amd64', 'arm64']

/** Calls that Debian's profile allows to everybody, and those it forbids, or allows with a capability or some arguments only. */
function debian(): { readonly free: ReadonlySet<string>; readonly bound: ReadonlySet<string> } {
  if (!existsSync(FILE)) throw new Error(`${FILE} is missing; bin/setup --test fetches it by apt`)
  const { syscalls } = JSON.parse(readFileSync(FILE, 'utf8')) as { syscalls: DebianRule[] }
  const isFree = ({ action, args, includes }: DebianRule) =>
    action === 'SCMP_ACT_ALLOW' &&
    (args ?? []).length === 0 &&
    (includes?.caps ?? []).length === 0 &&
    (includes?.arches ?? ARCHES).some((arch) => ARCHES.includes(arch))
  const free = new Set(syscalls.filter(isFree).flatMap((rule) => rule.names))
  return { free, bound: new Set(syscalls.flatMap((rule) => rule.names).filter((name) => !free.has(name))) }
}

function ours(part: 'all' | 'plain'): Set<string> {
  const [plain, ...filtered] = seccompProfile('x64', { lingers: true }).syscalls
  const rules = part === 'plain' ? [plain!] : [plain!, ...filtered]
  return new Set(rules.flatMap((rule) => (rule.action === 'SCMP_ACT_ALLOW' ? rule.names : [])))
}

/** Allowed here though Debian's profile does not name them, or binds them. */
const MORE: Readonly<Record<string, string>> = {
  mseal: 'newer than the profile; seals own mappings',
  fchmodat2: 'newer than the profile; chmod with flags',
  futex_waitv: 'newer than the profile; waits for several futexes',
  socket: 'bound there by family (netlink audit) and here more tightly: UNIX, INET and INET6',
}

/** Free in Debian's profile and refused here, with why; the first reason is that no code of a function needs them. */
const LESS: readonly (readonly [calls: string, reason: string])[] = [
  [
    'mount umount2 pivot_root open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr',
    'mounts: for containers in containers',
  ],
  ['unshare setns', 'namespaces: for containers in containers; a user namespace gives capabilities back'],
  ['clone3', 'flags in memory; ENOSYS makes C libraries use clone'],
  [
    'setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset',
    'a sandbox has one user and no capability',
  ],
  [
    'ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd pidfd_send_signal',
    'reaching into other processes',
  ],
  ['keyctl', 'key rings know no namespaces'],
  ['name_to_handle_at', 'pairs with open_by_handle_at'],
  [
    'io_setup io_submit io_cancel io_destroy io_getevents',
    'the old asynchronous I/O: counted for the whole host (aio-max-nr)',
  ],
  [
    'shmget shmat shmdt shmctl semget semop semctl semtimedop msgget msgsnd msgrcv msgctl',
    'System V IPC: not charged to whom it should be',
  ],
  [
    'mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr',
    'message queues: kernel memory that outlives processes',
  ],
  [
    'inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark',
    'instances are counted with the host’s root',
  ],
  ['reboot syslog adjtimex clock_adjtime', 'the machine’s own'],
  ['ioprio_get ioprio_set sched_setattr sched_setparam', 'shares of disk and CPU are the platform’s to give'],
  ['mbind get_mempolicy set_mempolicy remap_file_pages modify_ldt', 'rarely used, with a history of holes'],
  ['memfd_secret', 'memory that cannot be swapped, nor read by the platform’s operator'],
  [
    'seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self',
    'a sandbox in the sandbox is not needed',
  ],
  ['epoll_ctl_old epoll_wait_old get_thread_area set_thread_area', 'not implemented on x86_64'],
  ['sync', 'writes out the whole host; syncfs does for own files'],
]

test('what Debian’s profile forbids, or binds to a capability, is refused here too, or has a reason', () => {
  const { free, bound } = debian()
  const more = [...ours('all')].filter((name) => !free.has(name))
  expect(more.sort()).toEqual(Object.keys(MORE).sort())
  expect([...bound].filter((name) => ours('plain').has(name))).toEqual([])
})

test('what it allows and is refused here has a reason each', () => {
  const { free } = debian()
  const allowed = ours('all')
  const less = [...free].filter((name) => X86_64_CALLS.has(name) && !allowed.has(name))
  expect(less.sort()).toEqual(LESS.flatMap(([calls]) => calls.split(' ')).sort())
})

test('every name is a system call of x86_64', () => {
  expect([...ours('all')].filter((name) => !X86_64_CALLS.has(name))).toEqual([])
})
