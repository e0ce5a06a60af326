// Finds out whether a call left something running in this process: timers, children, threads. What the load left is the
// function's own. Asks the code's own process: code that hides what it left is found out by the host, or is alone with it.
import { activeResources } from './builtins.ts'

const RUNNING = ['Timeout', 'Immediate', 'ProcessWrap', 'Worker', 'MessagePort']

export class Leftovers {
  readonly #ofLoad = countRunning()

  /** True when more runs than after the load. Timers that are `unref`ed do not count. */
  any(): boolean {
    return countRunning() > this.#ofLoad
  }
}

function countRunning(): number {
  let count = 0
  for (const name of activeResources()) if (RUNNING.includes(name)) count++
  return count
}
