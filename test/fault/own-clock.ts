// A clock that the campaign moves for its own processes (libfaketime, preloaded), never the machine's.
import { existsSync } from 'node:fs'

const LIBRARIES = ['x86_64', 'aarch64'].map((arch) => `/usr/lib/${arch}-linux-gnu/faketime/libfaketime.so.1`)

/** Environment of a process whose clock follows the offset in `file`. Throws when the library is missing. */
export function clockEnvironment(file: string): Record<string, string> {
  const library = LIBRARIES.find((path) => existsSync(path))
  if (library === undefined) throw new Error('libfaketime is missing; install it: bin/setup --test')
  return {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: '1',
    // Timers go by the monotonic clock, which no change of the date moves.
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
}
