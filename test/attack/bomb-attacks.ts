// Resource bombs: as data. bombs.test.ts sets them off next to a neighbour and looks at what the neighbour, the host and the
// platform notice.
import type { Attack } from './attacks.ts'

export interface BombAttack extends Attack {
  /** Names in inside/bombs.ts. */
  readonly bombs: readonly string[]
  /** What the caller may get of the first in a fresh sandbox: a status, and for 200 how far the bomb came. */
  readonly ends: readonly number[]
  readonly reaches?: RegExp
}

function bomb(id: string, tries: string, contained: string, ends: readonly number[], ...bombs: string[]): BombAttack {
  return { id, family: 'bombs', tries, contained, ends, bombs: bombs.length === 0 ? [id] : bombs }
}

const OOM = 'killed at the memory limit: 502 `FUNCTION_OUT_OF_MEMORY`'
const TIMED_OUT = 'killed at the time-out: 504'

export const BOMB_ATTACKS: readonly BombAttack[] = [
  bomb(
    'fork',
    'fork without end, and leave children behind that are not waited for',
    `stops at \`pids\`; ${TIMED_OUT}`,
    [502, 504],
    'fork',
    'zombies',
  ),
  bomb(
    'threads',
    'start threads without end, each with a heap',
    `stops at \`pids\` or at the memory limit; 502 or 504`,
    [500, 502, 504],
  ),
  bomb(
    'spin',
    'take all CPU with several threads',
    `its share against its neighbours’ (\`cpuShares\`); ${TIMED_OUT}`,
    [504],
  ),
  bomb('heap', 'fill V8’s heap', '502 `FUNCTION_OUT_OF_MEMORY`', [502]),
  bomb('memory', 'take memory past V8: buffers, populated mappings', OOM, [200, 502, 504], 'buffers', 'maps'),
  {
    ...bomb(
      'tmp',
      'fill /tmp, by one file and by many',
      '`ENOSPC` at `tmpfs`; it counts as memory',
      [200, 500, 502, 504],
      'tmp',
      'append',
    ),
    reaches: /^ENOSPC/,
  },
  { ...bomb('shm', 'fill /dev/shm', '`ENOSPC` at 1 MiB', [200, 504]), reaches: /^ENOSPC after 1\d$/ },
  {
    ...bomb(
      'inodes',
      'make files and folders without end',
      '`ENOSPC` at one inode a 4 KiB of `tmpfs`',
      [200, 502, 504],
      'inodes',
      'folders',
    ),
    reaches: /^ENOSPC/,
  },
  bomb('memfd', 'take memory as `memfd`', OOM, [200, 502, 504]),
  bomb(
    'pipes',
    'take kernel memory with pipes and socket buffers that are not read',
    'charged to its memory limit, refused at 20,000 descriptors',
    [200, 502, 504],
    'pipes',
    'sockets',
  ),
  bomb('descriptors', 'open files without end', '`EMFILE` at 20,000, or killed at the memory limit', [200, 502, 504]),
  {
    ...bomb(
      'inotify',
      'use up inotify instances, which are counted with the host’s root',
      '`EPERM` (seccomp)',
      [200, 504],
    ),
    reaches: /^EPERM after 0$/,
  },
  {
    ...bomb(
      'timers',
      'use up timers and pending signals, which are counted with the host’s root',
      '`EAGAIN` at its share: at most 1,024, fewer where the host’s root may have few',
      [200, 504],
    ),
    reaches: /^E(AGAIN|WOULDBLOCK) after \d{1,4}$/,
  },
  {
    ...bomb('mlock', 'lock memory', 'refused at 8 MiB, charged to its memory limit', [200, 502, 504]),
    reaches: /^E(AGAIN|WOULDBLOCK|NOMEM|PERM)/,
  },
  {
    ...bomb(
      'scratch',
      'fill its scratch disk, by bytes and by files',
      '`ENOSPC`; the disk is its own',
      [200, 502, 504],
      'scratch',
      'scratch-inodes',
    ),
    reaches: /^ENOSPC/,
  },
  {
    id: 'wait',
    family: 'time',
    tries: 'never come back: `Atomics.wait` on the only thread',
    contained: TIMED_OUT,
    bombs: ['wait'],
    ends: [504],
  },
  {
    id: 'signals',
    family: 'time',
    tries: 'ignore all signals and spin past the deadline',
    contained: `${TIMED_OUT} (\`SIGKILL\` through the cgroup)`,
    bombs: ['signals'],
    ends: [504],
  },
  {
    id: 'lines',
    family: 'output',
    tries: 'flood its log, from JavaScript and from a child',
    contained: 'kept up to 10,000 lines or 1 MiB a call; above its rate it is left unread and blocks; 504',
    bombs: ['lines', 'native-lines'],
    ends: [504],
  },
  {
    id: 'one-line',
    family: 'output',
    tries: 'print a line that never ends',
    contained: 'cut at 16 KiB a line; 504',
    bombs: ['one-line', 'native-line'],
    ends: [502, 504],
  },
  {
    id: 'frames',
    family: 'output',
    tries: 'flood the wire with the smallest frames',
    contained: 'a budget of frames and bytes; above it the platform does not read; 504',
    bombs: ['frames'],
    ends: [502, 504],
  },
]
