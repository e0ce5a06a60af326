// A clock that the campaign moves for its own processes (libfaketime, preloaded), never the machine's.
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../support/until.ts'

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

/** Moves the clock of the processes that follow `file` against the machine's. They look at most a second later. */
export function writeOffset(file: string, offsetS: number): void {
  writeFileSync(file, `${offsetS < 0 ? '-' : '+'}${Math.abs(offsetS)}\n`)
}

const MOVED_MS = 5_000

/** Resolves when answers of the server whose clock was moved are dated so: they tell by themselves. */
export async function untilMoved(offsetS: number, ask: () => Promise<Response>): Promise<void> {
  const moved = async (): Promise<boolean | string> => {
    const response = await ask()
    await response.arrayBuffer()
    const date = response.headers.get('date') ?? ''
    return Math.abs(Date.parse(date) - Date.now() - offsetS * 1000) < 1_900 || date
  }
  await until(`the clock has moved by ${offsetS} s`, moved, MOVED_MS)
}

/** The library shares a page and a semaphore among the processes that `pid` starts, and leaves them behind. */
export function removeClockShares(pid: number): void {
  for (const name of [`faketime_shm_${pid}`, `sem.faketime_sem_${pid}`]) rmSync(join('/dev/shm', name), { force: true })
}
