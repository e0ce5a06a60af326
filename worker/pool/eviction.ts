// Which idle sandboxes to give up when the host has no room: Greedy-Dual-Size-Frequency, as FaasCache (ASPLOS'21) uses it. Pure.

/** One idle or frozen sandbox, as the policy sees it. */
export interface EvictionCandidate {
  /** Value of the policy's clock when the sandbox last ran a call. */
  readonly agedFrom: number
  /** Calls its version has had since it has had sandboxes. */
  readonly frequency: number
  /** What starting another would cost, ms. */
  readonly startMs: number
  /** Bytes that its end frees. */
  readonly sizeBytes: number
  readonly idleSinceMs: number
}

const MIB = 1024 ** 2

/** Worth of keeping a sandbox: cost × frequency ÷ size, on top of its age. The lowest goes first. */
export function priorityOf(candidate: EvictionCandidate): number {
  return candidate.agedFrom + (candidate.frequency * candidate.startMs) / Math.max(1, candidate.sizeBytes / MIB)
}

/** The candidates to evict, lowest priority first, until `bytes` and `count` are freed; null when all together would not do.
 *  `clock` is the policy's new clock: later uses age from there. */
export function chooseVictims<T extends EvictionCandidate>(
  candidates: readonly T[],
  need: { readonly bytes: number; readonly count: number },
): { readonly victims: readonly T[]; readonly clock: number } | null {
  const ordered = candidates
    .map((candidate) => ({ candidate, priority: priorityOf(candidate) }))
    .sort((a, b) => a.priority - b.priority || a.candidate.idleSinceMs - b.candidate.idleSinceMs)
  const victims: T[] = []
  let bytes = 0
  let clock = 0
  for (const { candidate, priority } of ordered) {
    if (bytes >= need.bytes && victims.length >= need.count) break
    victims.push(candidate)
    bytes += candidate.sizeBytes
    clock = Math.max(clock, priority)
  }
  return bytes >= need.bytes && victims.length >= need.count ? { victims, clock } : null
}
