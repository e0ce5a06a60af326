// Attacks by way of files, sockets and processes: each as data, steps and what every one must come to. walls.test.ts takes
// them inside a sandbox. `{…}` in a step is something of the host: see `Target`.
import type { Attack } from './attacks.ts'
import type { Step } from './inside/steps.ts'

/** What of the host the steps name: a file of the test's with a secret in it, the platform's token file and state directory,
 *  its port, the test's abstract and other socket, a process of the test. */
export type Target = 'secret' | 'token' | 'state' | 'port' | 'abstract' | 'socket' | 'pid'

export interface FileAttack extends Attack {
  readonly steps: readonly Step[]
  /** Of each step: the outcome, or several that will do (`EROFS|EACCES`), or a pattern the whole outcome must match. */
  readonly gives: readonly (string | RegExp)[]
}

const all = (count: number, outcome: string | RegExp): (string | RegExp)[] =>
  Array.from({ length: count }, () => outcome)

/** One outcome for all steps. */
function attack(row: Attack, outcome: string | RegExp, ...steps: Step[]): FileAttack {
  return { ...row, steps, gives: all(steps.length, outcome) }
}

const reads = (...paths: string[]): Step[] => paths.map((path): Step => ['read', path])
const writes = (...paths: string[]): Step[] => paths.map((path): Step => ['write', path, 'x'])

const files: readonly FileAttack[] = [
  attack(
    {
      id: 'host-files',
      family: 'files',
      tries:
        'read files of the host: its password file, the state directory, the platform’s token, a file of mode 0644',
      contained: '`ENOENT`: the root is an overlay of only the base image',
    },
    'ENOENT|EACCES',
    ...reads(
      '{secret}',
      '{token}',
      '/etc/shadow',
      '/root/.bashrc',
      '/proc/1/root{secret}',
      '/proc/self/cwd/../../..{secret}',
    ),
    ['list', '{state}'],
    ['list', '/run/thaw'],
  ),
  attack(
    {
      id: 'root-writes',
      family: 'files',
      tries: 'change the program it runs, the bootstrap, libraries, /etc, or leave files outside of /tmp',
      contained: '`EROFS` or `EACCES`: the root is read-only and belongs to another user',
    },
    'EROFS|EACCES|ENOENT|ETXTBSY',
    ...writes(
      '/left',
      '/usr/bin/node',
      '/runtime/bootstrap.cjs',
      '/etc/passwd',
      '/lib/left',
      '/usr/lib/left',
      '/dev/left',
    ),
    ...writes('/proc/self/exe', '/proc/1/exe', '/code/index.js', '/var/left', '/home/left', '/run/left'),
    ['make', '/left'],
    ['make', '/dev/left'],
  ),
  {
    id: 'links',
    family: 'files',
    tries: 'reach out through links: symbolic ones of its own, hard links to what it cannot write, /proc/self/root',
    contained: 'links are resolved in its own root: `ENOENT`; hard links `EPERM` or `EXDEV`',
    steps: [
      ['symlink', '/tmp/out', '../../../../../../..{secret}'],
      ['read', '/tmp/out'],
      ['symlink', '/tmp/root', '/proc/1/root'],
      ['read', '/tmp/root/{secret}'],
      ['link', '/tmp/hard', '/usr/bin/node'],
    ],
    gives: ['ok', 'ENOENT', 'ok', 'ENOENT', 'EXDEV|EPERM|EROFS'],
  },
  attack(
    {
      id: 'core-pattern',
      family: 'files',
      tries:
        'have the kernel run a program of its own for it: `core_pattern`, `modprobe`, `hotplug`, `binfmt_misc`, `uevent_helper`',
      contained: '`EROFS` or `ENOENT`: /proc/sys is read-only, there is no /sys',
    },
    'EROFS|EACCES|ENOENT|EPERM',
    ...writes('/proc/sys/kernel/core_pattern', '/proc/sys/kernel/modprobe', '/proc/sys/kernel/hotplug'),
    ...writes('/proc/sys/fs/binfmt_misc/register', '/sys/kernel/uevent_helper', '/proc/sys/kernel/poweroff_cmd'),
  ),
  attack(
    {
      id: 'proc-writes',
      family: 'files',
      tries:
        'turn the kernel’s other screws in /proc: `sysrq-trigger`, `vm.*`, `user.*`, `oom_score_adj`, its uid map, time offsets',
      contained: '`EROFS`, `EACCES` or `EPERM`',
    },
    'EROFS|EACCES|ENOENT|EPERM',
    ...writes('/proc/sysrq-trigger', '/proc/sys/vm/overcommit_memory', '/proc/sys/user/max_user_namespaces'),
    ...writes('/proc/sys/kernel/hostname', '/proc/sys/net/ipv4/ip_forward', '/proc/irq/default_smp_affinity'),
    ['write', '/proc/self/oom_score_adj', '-1000'],
    ['write', '/proc/self/uid_map', '0 0 1'],
    ['write', '/proc/self/setgroups', 'allow'],
    ['write', '/proc/self/timens_offsets', 'monotonic 1000 0'],
  ),
  attack(
    {
      id: 'masked',
      family: 'files',
      tries: 'read the kernel’s memory map, keys, log and timers in /proc',
      contained: 'empty or refused: masked',
    },
    'nothing|ENOENT|EACCES|EPERM',
    ...reads('/proc/kcore', '/proc/kallsyms', '/proc/keys', '/proc/key-users', '/proc/kmsg', '/proc/timer_list'),
    ...reads(
      '/proc/config.gz',
      '/proc/modules',
      '/proc/vmallocinfo',
      '/proc/kpagecount',
      '/proc/sched_debug',
      '/proc/slabinfo',
    ),
    ['list', '/proc/acpi'],
    ['list', '/proc/scsi'],
  ),
  attack(
    {
      id: 'cgroups',
      family: 'files',
      tries: 'find a cgroup or sysfs mount: `release_agent`, its own limits, the host’s devices',
      contained: '`ENOENT`: neither is mounted',
    },
    'ENOENT|nothing',
    ['list', '/sys'],
    ['list', '/sys/fs/cgroup'],
    ['write', '/sys/fs/cgroup/release_agent', '/tmp/x'],
    ['write', '/sys/fs/cgroup/memory/memory.limit_in_bytes', '-1'],
    ['list', '/sys/kernel/debug'],
    ['list', '/sys/firmware'],
  ),
  {
    id: 'cgroup-names',
    family: 'files',
    tries: 'learn where on the host it lies: its cgroup’s path, the layers of its root',
    contained: 'sees the root of its own cgroup namespace; of the overlay neutral names',
    steps: [
      ['text', '/proc/self/cgroup'],
      ['text', '/proc/self/mountinfo'],
    ],
    gives: [/^(\d*:[^:]*:\/\n)+$/, /^(?![\s\S]*\{state\})[\s\S]*$/],
  },
  {
    id: 'devices',
    family: 'files',
    tries: 'open devices: memory, disks, /dev/kvm, /dev/fuse, /dev/net/tun, loop control, vsock, the console',
    contained: '`ENOENT`: /dev has the six harmless ones',
    steps: [
      ['names', '/dev'],
      ...reads('/dev/mem', '/dev/kvm', '/dev/fuse', '/dev/net/tun', '/dev/loop-control', '/dev/vsock', '/dev/console'),
      ['read', '/dev/tty'],
    ],
    gives: [
      /^(core|fd|full|mqueue|null|ptmx|pts|random|shm|stderr|stdin|stdout|tty|urandom|zero| )+$/,
      ...all(7, 'ENOENT|EACCES|ENXIO'),
      'ENXIO|EACCES|EPERM',
    ],
  },
  attack(
    {
      id: 'pty',
      family: 'files',
      tries: 'make terminals (a pty bomb)',
      contained: 'there is no devpts: `ENOENT`',
    },
    'ENOENT|EACCES',
    ['read', '/dev/ptmx'],
    ['read', '/dev/pts/ptmx'],
  ),
  {
    id: 'setuid',
    family: 'privilege',
    tries: 'run a set-uid program: of the image, or of its own making',
    contained:
      'the image has none, /tmp is `nosuid`; `no_new_privs`, every capability set empty, bounding set included',
    steps: [
      ['set-ids', ''],
      ['text', '/proc/self/status'],
      ['text', '/proc/self/mounts'],
    ],
    gives: [
      /^$/,
      /^(?=[\s\S]*NoNewPrivs:\t1\n)(?=[\s\S]*CapPrm:\t0+\nCapEff:\t0+\nCapBnd:\t0+\nCapAmb:\t0+\n)(?=[\s\S]*Seccomp:\t2\n)/,
      /^tmpfs \/tmp tmpfs rw,nosuid,nodev,/m,
    ],
  },
  {
    id: 'inheritance',
    family: 'processes',
    tries: 'reach out through descriptors it inherited, or its working directory',
    contained: 'has the wire’s socket and two pipes, and nothing of the host; works in its own /tmp',
    steps: [
      ['descriptors', '/proc/1/fd'],
      ['target', '/proc/self/cwd'],
      ['target', '/proc/1/cwd'],
      ['target', '/proc/1/exe'],
    ],
    gives: [/^((pipe|socket|anon_inode|\/dev\/null|\/proc\/\d+\/fd|gone)[^ ]* ?)+$/, '/tmp', '/tmp', '/usr/bin/node'],
  },
  {
    id: 'environment',
    family: 'processes',
    tries: 'find the platform’s environment, in its own or in another process’s',
    contained: 'sees what the platform gave it: four variables and the function’s own',
    steps: [
      ['text', '/proc/1/environ'],
      ['names', '/proc'],
    ],
    gives: [/^((PATH|HOME|TMPDIR|LANG)=[^\0]*\0)+$/, /^(?!.*\b{pid}\b).*$/],
  },
  attack(
    {
      id: 'kill-all',
      family: 'processes',
      tries: 'signal everything there is: a process of the host by number, init’s parent, process group 0',
      contained: 'a pid namespace of its own: `ESRCH`, `EPERM`',
    },
    'ESRCH|EPERM',
    ['signal', '{pid}', 'SIGKILL'],
    ['signal', '-{pid}', 'SIGKILL'],
    ['signal', '65000', 'SIGKILL'],
  ),
]

const sockets: readonly FileAttack[] = [
  attack(
    {
      id: 'abstract-sockets',
      family: 'sockets',
      tries: 'reach listeners of the host by abstract name and by path, the platform’s Redis among them',
      contained: '`ECONNREFUSED` and `ENOENT`: a network and a mount namespace of its own',
    },
    'ECONNREFUSED|ENOENT|EACCES',
    ['connect', '@{abstract}'],
    ['connect', '{socket}'],
    ['connect', '/run/thaw/redis.sock'],
    ['connect', '/var/run/docker.sock'],
    ['connect', '/run/dbus/system_bus_socket'],
  ),
  attack(
    {
      id: 'own-interface',
      family: 'sockets',
      tries: 'call the platform’s own interface: its port on loopback, by its names, over IPv6',
      contained: 'its loopback is its own, without the platform: `ECONNREFUSED`, no route, no DNS',
    },
    /^(?!ok|status).+$/,
    ['connect', '127.0.0.1:{port}'],
    ['connect', '::1:{port}'],
    ['fetch', 'http://127.0.0.1:{port}/v1/functions'],
    ['fetch', 'http://localhost:{port}/fn/attacker'],
    ['fetch', 'http://thaw.localhost:{port}/'],
  ),
  attack(
    {
      id: 'metadata',
      family: 'sockets',
      tries: 'reach the cloud’s metadata service and private networks without a network of its own (`network: none`)',
      contained: 'no route: `ENETUNREACH`',
    },
    /^(?!ok|status).+$/,
    ['connect', '169.254.169.254:80'],
    ['connect', '10.0.0.1:80'],
    ['connect', '172.17.0.1:80'],
    ['connect', '8.8.8.8:53'],
  ),
]

export const FILE_ATTACKS: readonly FileAttack[] = [...files, ...sockets]
