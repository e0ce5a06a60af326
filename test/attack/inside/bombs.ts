// Bombs: each takes as much of one thing as it can get, until it is stopped or cannot get more, and says then how far it came.
// Inside a sandbox only.
import { spawn } from 'node:child_process'
import { appendFileSync, closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { encodeLog } from '../../../runtime/protocol/messages.ts'
import { INPUT, type KernelCall, makeCalls } from './caller.ts'

const HOST_FD = 3
const MIB = 1024 ** 2
const held: unknown[] = []

/** How far a bomb came; most never say. */
type Reached = string | Promise<string>

function forEver(): never {
  for (;;);
}

/** Repeats until it throws; the error's code, and how often it went well. */
function untilRefused(take: (nth: number) => void, most: number): string {
  for (let nth = 0; nth < most; nth++) {
    try {
      take(nth)
    } catch (error) {
      return `${(error as NodeJS.ErrnoException).code} after ${nth}`
    }
  }
  return `all ${most}`
}

/** Makes the same calls over and over in a process of its own; where they were refused first. */
function callsUntilRefused(round: readonly KernelCall[], rounds: number): string {
  const { results, signal } = makeCalls(
    Array.from({ length: rounds }, (_, nth) => round.map((call) => shifted(call, nth * round.length))).flat(),
  )
  const refused = results.find((result) => result !== 'ok')
  return signal ?? (refused === undefined ? `all ${rounds}` : `${refused} after ${results.indexOf(refused)}`)
}

/** `{result: n}` is counted within a round. */
function shifted(call: KernelCall, by: number): KernelCall {
  const shift = (argument: KernelCall['arguments'][number]) =>
    typeof argument === 'object' && 'result' in argument ? { result: argument.result + by } : argument
  return { ...call, arguments: call.arguments.map(shift) }
}

const MMAP = 9
const PIPE2 = 293
const WRITE = 1
const SOCKETPAIR = 53
const MEMFD_CREATE = 319
const FALLOCATE = 285
const INOTIFY_INIT1 = 294
const TIMER_CREATE = 222
const MLOCKALL = 151
const EPOLL_CREATE1 = 291

const BOMBS: Readonly<Record<string, () => Reached>> = {
  fork: () => {
    spawn('/bin/sh', ['-c', 'b() { b | b & }; while :; do b; done'], { stdio: 'ignore' })
    return forEver()
  },
  zombies: () => {
    spawn('/bin/sh', ['-c', 'while :; do (exit) & (exit) & done'], { stdio: 'ignore' })
    return forEver()
  },
  threads: () => {
    for (let nth = 0; nth < 200; nth++) {
      const worker = new Worker('for (;;);', { eval: true })
      worker.on('error', () => undefined)
      held.push(worker)
    }
    return forEver()
  },
  heap: () => {
    for (;;) held.push(new Array(10_000).fill(Math.random()))
  },
  buffers: () => {
    for (;;) held.push(Buffer.alloc(4 * MIB, 1))
  },
  maps: () => callsUntilRefused([{ number: MMAP, arguments: [0, 8 * MIB, 3, 0x8022, -1, 0] }], 64),
  tmp: () => untilRefused((nth) => writeFileSync(`/tmp/full-${nth}`, Buffer.alloc(MIB, 1)), 4096),
  shm: () => untilRefused((nth) => writeFileSync(`/dev/shm/full-${nth}`, Buffer.alloc(64 * 1024, 1)), 4096),
  inodes: () => untilRefused((nth) => closeSync(openSync(`/tmp/inode-${nth}`, 'w')), 200_000),
  folders: () => {
    let path = '/tmp/deep'
    return untilRefused(() => {
      mkdirSync(path)
      path += '/d'
      // Long paths are refused by the kernel; going there is not.
      if (path.length > 4000) {
        process.chdir(path.slice(0, -2))
        path = 'd'
      }
    }, 200_000)
  },
  memfd: () =>
    callsUntilRefused(
      [
        { number: MEMFD_CREATE, arguments: ['m', 0] },
        { number: FALLOCATE, arguments: [{ result: 0 }, 0, 0, 8 * MIB] },
      ],
      32,
    ),
  pipes: () => {
    // Pages of a pipe are taken when something is written: into descriptor 4 + 2n, of round n.
    const rounds = Array.from({ length: 1200 }, (_, nth): KernelCall[] => [
      { number: PIPE2, arguments: [{ room: 8 }, 0o4000] },
      { number: WRITE, arguments: [4 + 2 * nth, INPUT, 65_536] },
    ])
    const { results, signal } = makeCalls(rounds.flat())
    return signal ?? `${results.filter((result) => result === 'ok').length} of ${results.length}`
  },
  sockets: () => {
    // The descriptors of round n are 3 + 2n and 4 + 2n: what is written is never read.
    const rounds = Array.from({ length: 600 }, (_, nth): KernelCall[] => [
      { number: SOCKETPAIR, arguments: [1, 1 | 0o4000, 0, { room: 8 }] },
      { number: WRITE, arguments: [3 + 2 * nth, INPUT, 65_536] },
      { number: WRITE, arguments: [3 + 2 * nth, INPUT, 65_536] },
    ])
    const { results, signal } = makeCalls(rounds.flat())
    return signal ?? `${results.filter((result) => result === 'ok').length} of ${results.length}`
  },
  descriptors: () => untilRefused(() => openSync('/dev/null', 'r'), 2_000_000),
  inotify: () => callsUntilRefused([{ number: INOTIFY_INIT1, arguments: [0] }], 500),
  epoll: () => callsUntilRefused([{ number: EPOLL_CREATE1, arguments: [0] }], 500),
  timers: () =>
    // A timer holds a queued signal, and those are counted with the host's root.
    callsUntilRefused([{ number: TIMER_CREATE, arguments: [1, 0, { room: 8 }] }], 3000),
  mlock: () =>
    callsUntilRefused(
      [
        { number: MLOCKALL, arguments: [3] },
        { number: MMAP, arguments: [0, 32 * MIB, 3, 0x22, -1, 0] },
      ],
      8,
    ),
  scratch: () =>
    untilRefused((nth) => writeFileSync(`${process.env.FN_SCRATCH_DIR}/full-${nth}`, Buffer.alloc(MIB, 1)), 4096),
  'scratch-inodes': () =>
    untilRefused((nth) => closeSync(openSync(`${process.env.FN_SCRATCH_DIR}/inode-${nth}`, 'w')), 200_000),
  spin: () => {
    for (let nth = 0; nth < 3; nth++) held.push(new Worker('for (;;);', { eval: true }))
    return forEver()
  },
  wait: () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    return 'woken'
  },
  signals: () => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGALRM'] as const) {
      process.on(signal, () => undefined)
    }
    return forEver()
  },
  lines: () => {
    for (;;) console.log('no '.repeat(100))
  },
  'one-line': () => {
    for (;;) process.stdout.write('endless '.repeat(1000))
  },
  'native-lines': () => {
    spawn('/bin/sh', ['-c', 'while :; do echo no no no no no no no no; done'], { stdio: ['ignore', 1, 2] })
    return new Promise(() => undefined)
  },
  'native-line': () => {
    for (;;) writeSync(1, 'x'.repeat(65_536))
  },
  frames: () => {
    const frame = Buffer.concat(Array.from({ length: 1000 }, () => encodeLog(0, 'stdout', 'x')))
    for (;;) {
      try {
        for (let at = 0; at < frame.length; ) at += writeSync(HOST_FD, frame, at)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      }
    }
  },
  append: () => {
    for (;;) appendFileSync('/tmp/grows', Buffer.alloc(65_536, 1))
  },
}

/** Throws what the bomb throws, or an Error for a bomb there is none of. */
export async function startBomb(name: string): Promise<string> {
  const bomb = BOMBS[name]
  if (bomb === undefined) throw new Error(`no bomb ${name}`)
  // The platform has seen STARTED by then.
  await turn()
  return bomb()
}
