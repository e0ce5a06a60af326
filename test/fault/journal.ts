// Reads what the function under test wrote: one run of a call from its lines. Pure.

/** One run; times ms since the epoch by the machine's clock. */
export interface Run {
  readonly id: string
  readonly attempt: number
  readonly key: string
  /** Told apart from every other run. */
  readonly run: string
  readonly beginMs: number
  /** When it was last seen alive. */
  readonly lastMs: number
  /** It came to its end; its answer may all the same not have arrived. */
  readonly ended: boolean
}

const LINE = /^([0-9a-f-]{36}) (\d+) (\S+) (\S+) (begin|tick|end) (\d+)$/

/** Runs by their beginning. Lines that a kill or a full disk cut short are left out. */
export function parseJournal(text: string): Run[] {
  const runs = new Map<string, { -readonly [K in keyof Run]: Run[K] }>()
  for (const line of text.split('\n')) {
    const [, id, attempt, key, run, what, ms] = LINE.exec(line) ?? []
    if (id === undefined || key === undefined || run === undefined) continue
    const atMs = Number(ms)
    const known = runs.get(run)
    if (known === undefined) {
      runs.set(run, { id, attempt: Number(attempt), key, run, beginMs: atMs, lastMs: atMs, ended: what === 'end' })
      continue
    }
    known.beginMs = Math.min(known.beginMs, atMs)
    known.lastMs = Math.max(known.lastMs, atMs)
    known.ended ||= what === 'end'
  }
  return [...runs.values()].sort((one, other) => one.beginMs - other.beginMs)
}
