// What must be given back, in the reverse order of taking it. One that fails is logged and does not stop the others.
import type { Logger } from '../api.ts'

export interface Unwind {
  /** Adds what gives `name` back; must accept "already gone". */
  defer(name: string, giveBack: () => Promise<void> | void): void
  /** Gives all back, once; never throws. */
  run(): Promise<void>
}

export function createUnwind(logger: Logger): Unwind {
  const stack: { readonly name: string; readonly giveBack: () => Promise<void> | void }[] = []
  return {
    defer: (name, giveBack) => {
      stack.push({ name, giveBack })
    },
    async run() {
      for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
        try {
          await top.giveBack()
        } catch (error) {
          logger.warn({ error: String(error), name: top.name }, 'could not be given back')
        }
      }
    },
  }
}
