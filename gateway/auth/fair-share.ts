// Max-min fairness: who has little keeps all of it, who has most is cut. Pure.

/** The highest share such that all parts, none above it, are `total` or less together. Infinity when they are that as they are. */
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
