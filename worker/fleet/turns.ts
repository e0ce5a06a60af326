// Whose turn a function's calls are, where several workers could run them: the same worker's as long as it has room, so that a
// function is warm in one place and not cold in many. Pure.
import { createHash } from 'node:crypto'

/** Head start of each worker before the next: about what a fetch from Redis takes. */
const HEAD_START_MS = 15
const MOST_MS = 60

/** How long `self` leaves a call of this function to others before it asks for it itself. 0: it is the first to ask. Rendezvous
 *  hashing (Thaler and Ravishankar, 1998): who comes or leaves moves only the functions whose first it is. */
export function turnMs(functionKey: string, self: string, workers: readonly string[]): number {
  const own = weight(functionKey, self)
  let before = 0
  for (const id of workers) if (id !== self && weight(functionKey, id) > own) before++
  return Math.min(MOST_MS, before * HEAD_START_MS)
}

function weight(functionKey: string, worker: string): number {
  return createHash('sha1').update(`${worker} ${functionKey}`).digest().readUIntBE(0, 6)
}
