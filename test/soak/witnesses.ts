// Whether results end when they should: a few accepted calls, small ones and ones whose result is a file, asked for again and again.
import type { Platform } from '../support/platform.ts'

interface Witness {
  readonly id: string
  endedMs: number | null
  goneMs: number | null
}

const AT_ONCE_BYTES = [40, 100_000]
/** A platform may be asked a little after its clock, and swept a little after the end. */
const SLACK_S = 45
const OPEN = new Set(['queued', 'running'])

export class Witnesses {
  readonly #platform: Platform
  readonly #ttlS: number
  readonly #all: Witness[] = []

  constructor(platform: Platform, ttlS: number) {
    this.#platform = platform
    this.#ttlS = ttlS
  }

  /** Two calls more. Rejects when they are not accepted. */
  async send(): Promise<void> {
    for (const bytes of AT_ONCE_BYTES) {
      const headers = { prefer: 'respond-async', 'content-type': 'text/plain' }
      const response = await this.#platform.request('/fn/echo', { method: 'POST', headers, body: 'x'.repeat(bytes) })
      await response.arrayBuffer()
      if (response.status !== 202) throw new Error(`a witness was answered ${response.status}`)
      const id = response.headers.get('location')?.split('/').at(-1) ?? ''
      this.#all.push({ id, endedMs: null, goneMs: null })
    }
  }

  /** Asks for those that are not gone yet. Never rejects: who is not answered is asked the next time. */
  async look(): Promise<void> {
    for (const one of this.#all.filter(({ goneMs }) => goneMs === null)) {
      const response = await this.#platform.request(`/v1/invocations/${one.id}`).catch(() => null)
      const nowMs = performance.now()
      const record = (await response?.json().catch(() => null)) as { state?: string } | null | undefined
      if (response?.status === 404) one.goneMs = nowMs
      else if (response?.status === 200 && !OPEN.has(record?.state ?? 'queued')) one.endedMs ??= nowMs
    }
  }

  /** How long those that are gone had been there after their end was first seen, s. */
  get keptS(): number[] {
    return this.#all.flatMap(({ endedMs, goneMs }) =>
      endedMs === null || goneMs === null ? [] : [(goneMs - endedMs) / 1000],
    )
  }

  troublesAt(nowMs: number): string[] {
    return judgeWitnesses(this.#all, this.#ttlS, nowMs)
  }

  lines(): string[] {
    const kept = this.keptS
    const range = `${Math.min(...kept).toFixed(0)} to ${Math.max(...kept).toFixed(0)} s after their end`
    const seen = kept.length > 0 ? `seen (${kept.length} of ${this.#all.length} witnesses gone, ${range})` : 'NOT SEEN'
    return [`end of results: ${seen}; FN_RESULT_TTL is ${this.#ttlS} s`]
  }
}

/** Gone too early (its end may have been seen a look late), or still there long after. Pure; times ms. */
export function judgeWitnesses(all: readonly Witness[], ttlS: number, nowMs: number): string[] {
  return all.flatMap(({ id, endedMs, goneMs }) => {
    if (goneMs !== null && endedMs === null) return [`${id}: gone before its end was seen`]
    if (endedMs === null) return []
    const keptS = ((goneMs ?? nowMs) - endedMs) / 1000
    if (goneMs !== null && keptS < ttlS - SLACK_S) return [`${id}: gone ${Math.round(keptS)} s after its end`]
    return goneMs === null && keptS > ttlS + SLACK_S ? [`${id}: still there ${Math.round(keptS)} s after its end`] : []
  })
}
