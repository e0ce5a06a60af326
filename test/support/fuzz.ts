// What the properties of test/unit/fuzz share: one seed for all (THAW_TEST_SEED), and errors that are allowed.
import fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env.THAW_TEST_SEED ?? 20_261_121) })

/** Runs it; null when it threw one of the errors it may throw. Anything else it throws fails the property. */
export function attempt<T>(run: () => T, ...allowed: (abstract new (...args: never[]) => Error)[]): T | null {
  try {
    return run()
  } catch (error) {
    if (allowed.some((kind) => error instanceof kind)) return null
    throw error
  }
}
