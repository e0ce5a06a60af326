// Starting in steps: each may leave an undo; `close` runs them in reverse, whatever fails.
import type { Logger } from '../../runtime/api.ts'

export interface Steps {
  /** Runs one step and keeps its undo. A failure propagates; the caller then calls `close`. */
  run<T>(name: string, start: () => Promise<T> | T, undo?: (made: T) => Promise<void> | void): Promise<T>
  /** Undoes what was done, last first. Idempotent; never throws. */
  close(): Promise<void>
  /** Duration of each step, ms. */
  readonly timings: readonly { readonly name: string; readonly ms: number }[]
}

export function createSteps(logger: Logger): Steps {
  const undos: { name: string; undo: () => Promise<void> | void }[] = []
  const timings: { name: string; ms: number }[] = []
  return {
    timings,
    async run(name, start, undo) {
      const startedMs = performance.now()
      const made = await start()
      const ms = performance.now() - startedMs
      timings.push({ name, ms })
      logger.debug({ step: name, ms: Math.round(ms) }, 'started')
      if (undo) undos.push({ name, undo: () => undo(made) })
      return made
    },
    async close() {
      for (let step = undos.pop(); step !== undefined; step = undos.pop()) {
        try {
          await step.undo()
        } catch (error) {
          logger.error({ step: step.name, error: String(error) }, 'a step of the shutdown failed')
        }
      }
    },
  }
}
