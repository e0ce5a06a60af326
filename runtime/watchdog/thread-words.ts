// Messages between the event loop and the watchdog's thread, apart from the shared memory: plain data.

import type { Restarts } from './restarts.ts'

/** A sandbox as the thread knows it. */
export interface ThreadSandbox {
  /** 1 and above; of no other sandbox while this one is watched. */
  readonly number: number
  readonly id: string
  /** Our ends of its sockets. */
  readonly descriptors: readonly number[]
  /** Of its cgroup, one in each hierarchy. */
  readonly directories: readonly string[]
}

export type ThreadWord =
  | { readonly kind: 'watch'; readonly sandbox: ThreadSandbox }
  | { readonly kind: 'leave'; readonly number: number }

/** What is started in place of this process. */
export interface Restart {
  /** The restarts so far; the next process gets them in its environment. */
  readonly restarts: Restarts
  readonly path: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export interface ThreadSettings {
  readonly signs: SharedArrayBuffer
  /** A stand this long is acted upon. */
  readonly afterMs: number
  readonly restart: Restart
}
