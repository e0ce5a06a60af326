// At most so many creations at once, first come first served: a creation costs 30 ms of CPU, and more than one a core
// only makes all of them late.
import { AtOnce } from '../host/at-once.ts'

export interface Launches {
  /** Runs `launch` when its turn comes. */
  run<T>(launch: () => Promise<T>): Promise<T>
}

export function limitLaunches(maximum: number): Launches {
  return new AtOnce(maximum)
}
