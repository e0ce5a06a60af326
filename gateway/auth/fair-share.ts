// Max-min fairness: parts below the share stay whole, larger ones are cut to it. Pure.

/** The highest share such that all parts, cut to it, are at most `total` together. Infinity when nothing has to be cut. */
export function fairShare(parts: readonly number[], total: number): number {
  const ascending = [...parts].sort((a, b) => a - b)
  let left = total
  for (const [index, part] of ascending.entries()) {
    const share = left / (ascending.length - index)
    if (part > share) return share
    left -= part
  }
  return Number.POSITIVE_INFINITY
}
