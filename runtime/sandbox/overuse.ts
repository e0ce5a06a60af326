// Which sandboxes hold too much of what the kernel does not charge. Pure: counts by sandbox in, verdict out; overuse-watch.ts counts
// and kills.

/** Something the kernel counts for the whole machine, or not at all. */
export interface Budget {
  /** As the message says it: `… record locks`. */
  readonly resource: string
  readonly perSandbox: number
  /** Over all sandboxes: above it the one with the most is killed, and the next, until they are below. */
  readonly total: number
}

export interface Excess<T> {
  readonly holder: T
  readonly held: number
  /** The bound it is above: its own, or that of all together. */
  readonly bound: number
}

/** Why it is killed, for who called it. */
export function tellExcess({ held, bound }: Omit<Excess<unknown>, 'holder'>, budget: Budget): string {
  const whose = bound === budget.perSandbox ? 'one sandbox' : 'all sandboxes together'
  return `killed: it held ${held} ${budget.resource}, and ${bound} are the most for ${whose}`
}

/** Those above their own bound, then those with the most until the rest is within the total. */
export function findExcess<T>(held: ReadonlyMap<T, number>, budget: Budget): Excess<T>[] {
  const found: Excess<T>[] = []
  let total = 0
  for (const count of held.values()) total += count
  const byCount = [...held].sort(([, one], [, other]) => other - one)
  for (const [holder, count] of byCount) {
    if (count <= budget.perSandbox && total <= budget.total) break
    found.push({ holder, held: count, bound: count > budget.perSandbox ? budget.perSandbox : budget.total })
    total -= count
  }
  return found
}
