// Finds out when a call has nothing left that could go on: no timer, no file, no connection other than those that were there before.
import { activeResources, defer, schedule } from './builtins.ts'

const LONGEST_LOOK_MS = 50

/** What is under way, counted by its kind. */
export type Active = ReadonlyMap<string, number>

/** Calls `onEmpty` once no more is under way than `before`; the function returned ends the watch. */
export function watchLoop(before: Active, onEmpty: () => void): () => void {
  let isOver = false
  let delayMs = 1
  const look = () => {
    if (isOver) return
    if (!hasMore(before)) {
      isOver = true
      onEmpty()
      return
    }
    schedule(look, delayMs).unref()
    delayMs = Math.min(delayMs * 2, LONGEST_LOOK_MS)
  }
  // Twice: what a microtask or a tick begins is seen then.
  defer(() => defer(look))
  return () => {
    isOver = true
  }
}

/** What is under way now; some µs. */
export function countActive(): Active {
  const counts = new Map<string, number>()
  for (const name of activeResources()) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

function hasMore(before: Active): boolean {
  for (const [name, count] of countActive()) if (count > (before.get(name) ?? 0)) return true
  return false
}
