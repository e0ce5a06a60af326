// Takes kernel memory of one kind after the other, each more than a small sandbox may have, until it is refused or killed. Inside a
// sandbox only.
import { existsSync } from 'node:fs'
import { type Again, type CallArgument, INPUT, type KernelCall, makeCalls } from './caller.ts'

/** Numbers of x86-64. */
const CALL = {
  open: 2,
  mmap: 9,
  nanosleep: 35,
  sendmsg: 46,
  socketpair: 53,
  fork: 57,
  fsetxattr: 190,
  epoll_ctl: 233,
  fallocate: 285,
  eventfd2: 290,
  epoll_create1: 291,
  memfd_create: 319,
}
const MIB = 1024 ** 2
const READ = 1
const READ_WRITE = 3
const PRIVATE_ANONYMOUS = 0x22
const FIXED = 0x10
const POPULATE = 0x8000
const ADD = 1
const NAMELESS_FILE = 0x41_0002
const EPOLLS = 100

const call = (name: keyof typeof CALL, ...args: CallArgument[]): KernelCall => ({ number: CALL[name], arguments: args })
const again = (calls: number, times: number, step = 0): Again => ({ again: { calls, times, step } })

const KINDS: Readonly<Record<string, readonly (KernelCall | Again)[]>> = {
  /** Every event descriptor watched by all of a hundred. */
  epoll: [
    ...Array.from({ length: EPOLLS }, () => call('epoll_create1', 0)),
    call('eventfd2', 0, 0),
    ...Array.from({ length: EPOLLS }, (_, nth) =>
      call('epoll_ctl', { result: nth }, ADD, { result: EPOLLS }, { words: [1, 0] }),
    ),
    again(EPOLLS + 1, 19_000),
  ],
  /** Pages that may be read and pages that may be written by turns, so that no two are one map: in sixteen processes, which
   *  stay until all have them. */
  maps: [
    ...Array.from({ length: 4 }, () => call('fork')),
    call('mmap', 0, 4096, READ, PRIVATE_ANONYMOUS, -1, 0),
    call('mmap', 0, 4096, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0),
    again(2, 40_000),
    call('nanosleep', { words: [2, 0] }, 0),
  ],
  /** One page in each 2 MiB, which needs a page of tables for itself, and is the one page of zeroes. */
  'page-tables': [
    call('mmap', 0x2000_0000_0000, 4096, READ, PRIVATE_ANONYMOUS + FIXED + POPULATE, -1, 0),
    again(1, 80_000, 2 * MIB),
  ],
  attributes: [
    call('open', '/tmp', NAMELESS_FILE, 0o600),
    call('fsetxattr', { result: 0 }, 'user.large', INPUT, 60_000, 0),
    again(2, 5000),
  ],
  /** Descriptors on their way through a socket that nobody reads; the program's own pair is 6 and 7. */
  'descriptors-in-flight': [
    call('socketpair', 1, 2, 0, { room: 8 }),
    call('sendmsg', 6, { message: { hex: '00', descriptors: Array<number>(250).fill(6) } }, 0x40),
    again(1, 1000),
  ],
  'nameless-files': [call('memfd_create', 'm', 0), call('fallocate', { result: 0 }, 0, 0, MIB), again(2, 300)],
}

/** Names of files there are none of, which the kernel remembers as such. */
function askForNames(): string {
  const long = 'n'.repeat(240)
  for (let nth = 0; nth < 90_000; nth++) existsSync(`/${long}${nth}`)
  return 'ok'
}

/** `ok`, the error it was refused with, or the signal that killed the process that took it. */
export function take(kind: string): string {
  if (kind === 'absent-names') return askForNames()
  const { results, signal } = makeCalls(KINDS[kind]!)
  return signal ?? results.find((result) => result !== 'ok') ?? 'ok'
}
