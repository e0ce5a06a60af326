// The nearest known word to a mistyped one. Pure.

const MAX_LENGTH = 64

/** The candidate with the smallest edit distance (swaps of neighbours count one), or null when none is close:
 *  at most one edit in three letters, and never more than three. */
export function suggest(word: string, candidates: Iterable<string>): string | null {
  if (word.length > MAX_LENGTH) return null
  let best: string | null = null
  let bestDistance = Math.min(3, Math.max(1, Math.floor(word.length / 3))) + 1
  const lower = word.toLowerCase()
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= bestDistance) continue
    const distance = editDistance(lower, candidate.toLowerCase(), bestDistance - 1)
    if (distance < bestDistance) {
      bestDistance = distance
      best = candidate
      // Nothing is nearer than one edit, except the word itself, which is known.
      if (distance <= 1) break
    }
  }
  return best
}

/** `; did you mean hello?`, or an empty text. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const near = suggest(word, candidates)
  return near === null ? '' : `; did you mean ${near}?`
}

/** Three rows of the table, for any word that is looked at here. */
const ROWS = [0, 1, 2].map(() => new Uint16Array(MAX_LENGTH + 8))

/** Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). `most`: what is further apart is only
 *  said to be further than that, and costs a few steps a letter. */
export function editDistance(a: string, b: string, most: number = Math.max(a.length, b.length)): number {
  const far = most + 1
  if (Math.abs(a.length - b.length) > most) return far
  const fits = b.length < ROWS[0]!.length
  let [beforeLast, last, current] = (fits ? ROWS : ROWS.map(() => new Uint16Array(b.length + 1))) as [
    Uint16Array,
    Uint16Array,
    Uint16Array,
  ]
  for (let column = 0; column <= b.length; column++) last[column] = Math.min(column, far)
  for (let row = 1; row <= a.length; row++) {
    const start = Math.max(1, row - most)
    const end = Math.min(b.length, row + most)
    // Outside the band everything is far.
    current[start - 1] = start === 1 && row <= most ? row : far
    if (end < b.length) current[end + 1] = far
    let nearest = current[start - 1]!
    for (let column = start; column <= end; column++) {
      const same = a.charCodeAt(row - 1) === b.charCodeAt(column - 1)
      let distance = Math.min(current[column - 1]! + 1, last[column]! + 1, last[column - 1]! + (same ? 0 : 1), far)
      if (
        row > 1 &&
        column > 1 &&
        a.charCodeAt(row - 1) === b.charCodeAt(column - 2) &&
        a.charCodeAt(row - 2) === b.charCodeAt(column - 1)
      )
        distance = Math.min(distance, beforeLast[column - 2]! + 1)
      current[column] = distance
      if (distance < nearest) nearest = distance
    }
    // A swap may still come from the row before.
    if (nearest >= far && Math.min(...last.subarray(Math.max(0, start - 2), end + 1)) >= far) return far
    const free = beforeLast
    beforeLast = last
    last = current
    current = free
  }
  return Math.min(last[b.length]!, far)
}
