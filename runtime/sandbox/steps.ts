// Making something in steps that can be taken back: each is timed under its name, a failure undoes in reverse order.
// `undo` must accept "already gone" and "never made": it also runs for the step that failed.
import type { Clock, Logger } from '../api.ts'
import { createUnwind } from '../host/unwind.ts'

export interface Step {
  readonly name: string
  run(): Promise<void> | void
  undo?(): Promise<void> | void
}

export interface StepTime {
  readonly name: string
  readonly ms: number
}

export interface StepsResult {
  readonly times: readonly StepTime[]
  /** Undoes every step in reverse order; an undo that fails is logged and does not stop the others. */
  undo(): Promise<void>
}

export interface StepsOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** Called after each step; throwing there fails that step (tests). */
  readonly afterStep?: ((name: string) => void) | undefined
}

/** Runs `steps` in order. When one throws, undoes it and those before, then throws the same error. */
export async function runSteps(steps: readonly Step[], options: StepsOptions): Promise<StepsResult> {
  const unwind = createUnwind(options.logger)
  const times: StepTime[] = []
  for (const step of steps) {
    const startMs = options.clock.monotonicMs()
    unwind.defer(step.name, () => step.undo?.())
    try {
      await step.run()
      options.afterStep?.(step.name)
    } catch (error) {
      await unwind.run()
      throw error
    }
    times.push({ name: step.name, ms: options.clock.monotonicMs() - startMs })
  }
  return { times, undo: () => unwind.run() }
}
