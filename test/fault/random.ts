// Chance that can be repeated: one seed, the same campaign. Only plans come from here; what happens between is the machine's.

export interface Chance {
  /** In [0, 1). */
  next(): number
  /** A whole number from 0 to `below` - 1. */
  below(below: number): number
  pick<T>(from: readonly T[]): T
  /** A stream of its own, so that one part's questions do not change another's answers. */
  fork(): Chance
}

/** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state, enough to spread kills. */
export function chanceOf(seed: number): Chance {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    next,
    below,
    pick: (from) => {
      const picked = from[below(from.length)]
      if (picked === undefined) throw new Error('nothing to pick from')
      return picked
    },
    fork: () => chanceOf(Math.floor(next() * 2 ** 32)),
  }
}
