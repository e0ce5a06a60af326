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
    }
  }
  return best
}

/** `; did you mean hello?`, or an empty text. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const near = suggest(word, candidates)
  return near === null ? '' : `; did you mean ${near}?`
}

/** Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). `most`: what is further apart is only
 *  said to be further than that, and costs a few steps a letter. */
export function editDistance(a: string, b: string, most: number = Math.max(a.length, b.length)): number {
  const far = most + 1
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => Math.min(column, far))
  for (let row = 1; row <= a.length; row++) {
    const current = new Array<number>(b.length + 1).fill(far)
    if (row <= most) current[0] = row
    const end = Math.min(b.length, row + most)
    for (let column = Math.max(1, row - most); column <= end; column++) {
      const same = a[row - 1] === b[column - 1]
      let distance = Math.min(current[column - 1]! + 1, last[column]! + 1, last[column - 1]! + (same ? 0 : 1))
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        distance = Math.min(distance, beforeLast[column - 2]! + 1)
      }
      current[column] = Math.min(distance, far)
    }
    beforeLast = last
    last = current
  }
  return last[b.length]!
}
