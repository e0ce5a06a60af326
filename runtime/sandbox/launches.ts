// At most so many creations at once, first come first served: a creation costs 30 ms of CPU, and more than one a core
// only makes all of them late.

export interface Launches {
  /** Runs `launch` when its turn comes. */
  run<T>(launch: () => Promise<T>): Promise<T>
}

export function limitLaunches(maximum: number): Launches {
  const waiting: (() => void)[] = []
  let running = 0
  const enter = async () => {
    if (running < maximum) running++
    else await new Promise<void>((resolve) => waiting.push(resolve))
  }
  const leave = () => {
    const next = waiting.shift()
    // The place is handed on, so that nobody can come in between.
    if (next) next()
    else running--
  }
  return {
    async run(launch) {
      await enter()
      try {
        return await launch()
      } finally {
        leave()
      }
    },
  }
}
