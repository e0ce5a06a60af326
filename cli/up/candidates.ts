// Versions that other processes deploy by way of this worker: the registry will know them in a moment, or never. Until then their
// sandboxes and images stay.
import type { FunctionVersion } from '../../worker/api.ts'
import { systemClock } from './clock.ts'

const CANDIDATE_MS = 120_000

export class Candidates {
  readonly #known = new Map<string, { readonly sinceMs: number; readonly image: string }>()

  add(version: FunctionVersion): void {
    const nowMs = systemClock.monotonicMs()
    for (const [key, { sinceMs }] of this.#known) if (nowMs - sinceMs > CANDIDATE_MS) this.#known.delete(key)
    this.#known.set(keyOf(version), { sinceMs: nowMs, image: version.image })
  }

  *images(): Iterable<string> {
    for (const { image } of this.#known.values()) yield image
  }

  has(version: { namespace: string; name: string; version: number }): boolean {
    const known = this.#known.get(keyOf(version))
    return known !== undefined && systemClock.monotonicMs() - known.sinceMs <= CANDIDATE_MS
  }
}

function keyOf({ namespace, name, version }: { namespace: string; name: string; version: number }): string {
  return `${namespace}/${name}/${version}`
}
