// Attacks on the event loop that serves all namespaces: as data. loop.test.ts has a program inside make the calls, next to a neighbour.
import type { Attack } from './attacks.ts'
import { type CallArgument, INHERITED } from './inside/caller.ts'
import type { CallText } from './kernel-attacks.ts'

export interface LoopAttack extends Attack {
  /** Calls of one program inside; the last come to what `gives` says. null: its sandbox may be gone by then. */
  readonly calls: readonly CallText[]
  readonly gives: readonly string[] | null
  /** Tried in a sandbox with a scratch disk, which is killed afterwards. */
  readonly onDisk?: boolean
}

const SOL_SOCKET = 1
const SO_RCVBUF = 8
const SO_LINGER = 13
const F_SETFL = 4
const O_NONBLOCK = 0x800
const MSG_OOB = 1
const O_RDWR_CREAT = 0o102
const PROT_READ_WRITE = 3
const MAP_SHARED = 1
const DIRTY_BYTES = 160 * 1024 ** 2
/** What the program inside opens first and second. */
const LISTENER = 6
const CONNECTION = 7
/** 127.0.0.1:40404 */
const ADDRESS: CallArgument = { hex: `0200${(40404).toString(16).padStart(4, '0')}7f0000010000000000000000` }
/** A log line of so many characters, as the wire wants it (a LOG frame) and as text; hex. */
const line = (to: number, chars: number): string => {
  const text = '79'.repeat(chars - 1)
  if (to !== INHERITED.wire) return `${text}0a`
  const length = Buffer.alloc(4)
  length.writeUInt32LE(chars)
  return `${length.toString('hex')}160000000001${text}`
}

const int = (...values: number[]): CallArgument => {
  return { hex: Buffer.from(new Int32Array(values).buffer).toString('hex') }
}

const socket: CallText = ['socket', 2, 1, 0]
/** A connection over its own loopback whose other end never reads, with more to say than fits: its close lingers. */
const lingering = (seconds: number): CallText[] => [
  socket,
  ['setsockopt', LISTENER, SOL_SOCKET, SO_RCVBUF, int(4096), 4],
  ['bind', LISTENER, ADDRESS, 16],
  ['listen', LISTENER, 8],
  socket,
  ['connect', CONNECTION, ADDRESS, 16],
  ['fcntl', CONNECTION, F_SETFL, O_NONBLOCK],
  ...Array.from({ length: 4 }, (): CallText => ['write', CONNECTION, 0x1001_0000, 0x10_0000]),
  ['fcntl', CONNECTION, F_SETFL, 0],
  ['setsockopt', CONNECTION, SOL_SOCKET, SO_LINGER, int(1, seconds), 8],
]

const pass = (to: number, ...descriptors: number[]): CallText => {
  return ['sendmsg', to, { message: { hex: line(to, 2), descriptors } }, 0]
}

const busy = (to: number): CallText[] => {
  const hex = line(to, 1500)
  return Array.from({ length: 60 }, () => ['write', to, { hex }, hex.length / 2])
}

/** 64 KiB of this at once. */
const flood = (to: number, hex: string): CallText => {
  const many = hex.repeat(Math.floor((128 * 1024) / hex.length))
  return ['write', to, { hex: many }, many.length / 2]
}

const ALL = Object.values(INHERITED)

const sleep = (seconds: number): CallText => ['nanosleep', { words: [seconds, 0] }, 0]

/** Waits, passes such a connection to all three and lets go of it: lines first, so that the platform comes to it after that. Then stays
 *  for a while, since its end would end the connection. */
export function passLingering(seconds: number, { waitS, stayS }: { waitS: number; stayS: number }): CallText[] {
  return [
    sleep(waitS),
    ...lingering(seconds),
    ...ALL.flatMap(busy),
    ...ALL.map((to) => pass(to, CONNECTION)),
    ['close', CONNECTION],
    sleep(stayS),
  ]
}

const REFUSED = 'the kernel refuses descriptors on every socket to a sandbox (`SO_PASSRIGHTS`): `EPERM`'

/** Pages of a file that nothing has written to its disk. */
function dirtyPages(): CallText[] {
  return [
    ['open', '/scratch/dirty', O_RDWR_CREAT, 0o600],
    ['ftruncate', { result: 0 }, DIRTY_BYTES],
    ['mmap', 0, DIRTY_BYTES, PROT_READ_WRITE, MAP_SHARED, { result: 0 }, 0],
    ['open', '/dev/zero', 0],
    ['read', { result: 3 }, { result: 2 }, DIRTY_BYTES],
  ]
}

export const LOOP_ATTACKS: readonly LoopAttack[] = [
  {
    id: 'lingering-descriptor',
    family: 'loop',
    tries: 'pass a socket whose close lingers to the platform, over the wire, stdout and stderr',
    contained: REFUSED,
    calls: passLingering(2, { waitS: 0, stayS: 1 }),
    gives: [...ALL.map(() => 'EPERM'), 'ok', 'ok'],
  },
  {
    id: 'many-descriptors',
    family: 'loop',
    tries: 'pass 250 descriptors at a time, which the platform would have to close',
    contained: REFUSED,
    calls: ALL.map((to) => pass(to, ...Array.from({ length: 250 }, () => 0))),
    gives: ALL.map(() => 'EPERM'),
  },
  {
    id: 'dirty-disk',
    family: 'loop',
    tries: 'leave its disk full of what is not written yet, for the platform to write when it unmounts',
    contained: 'file systems are mounted and unmounted in other threads',
    onDisk: true,
    calls: dirtyPages(),
    gives: ['ok', 'ok', 'ok', 'ok', 'ok'],
  },
  {
    id: 'empty-lines',
    family: 'loop',
    tries: 'print 130,000 empty lines at once on its streams, and thousands as frames',
    contained: 'a budget of bytes and lines; above it nothing is read for a while',
    calls: [
      flood(INHERITED.stdout, '0a'),
      flood(INHERITED.stderr, '0a'),
      flood(INHERITED.wire, line(INHERITED.wire, 2)),
    ],
    gives: null,
  },
  {
    id: 'urgent-bytes',
    family: 'loop',
    tries: 'send urgent bytes (`MSG_OOB`) where the platform reads',
    contained: 'a byte like others: on the wire no frame, so the sandbox is killed',
    calls: [INHERITED.stdout, INHERITED.stderr, INHERITED.wire].map(
      (to): CallText => ['sendto', to, 'A', 1, MSG_OOB, 0, 0],
    ),
    gives: null,
  },
]
