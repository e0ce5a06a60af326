// Loaded into a platform by tests of the watchdog (NODE_OPTIONS=--import): on SIGUSR2 it does what the file `test-command` of the state
// directory says. `stand`: the event loop stands for good. `take-descriptors`: sockets take descriptors again, as on a kernel
// that cannot refuse them, so that a real close stands.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { isMainThread } from 'node:worker_threads'

const SOL_SOCKET = 1
const SO_PASSRIGHTS = 83

const COMMANDS: Readonly<Record<string, () => void>> = {
  stand: () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
  'take-descriptors': () => {
    const koffi = createRequire(import.meta.url)('koffi')
    const setsockopt = koffi
      .load('libc.so.6')
      .func('int setsockopt(int fd, int level, int name, const void *value, unsigned int size)')
    for (const fd of readdirSync('/proc/self/fd').filter(isSocket))
      setsockopt(Number(fd), SOL_SOCKET, SO_PASSRIGHTS, Buffer.from([1, 0, 0, 0]), 4)
  },
}

function isSocket(fd: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
  } catch {
    return false
  }
}

if (isMainThread)
  process.on('SIGUSR2', () => COMMANDS[readFileSync(`${process.env.FN_STATE_DIR}/test-command`, 'utf8')]!())
