// Settings of the pool as the environment says them: what sandboxes together may take, and how many calls wait for how long.

import { parseBytes, parseDurationMs, UnitError } from '../runtime/api.ts'

export interface PoolSettings {
  /** Memory that all sandboxes together may take; null: what the machine has, less a reserve. */
  readonly sandboxMemoryBytes: number | null
  /** Calls that wait, of a function and of all; beyond, and after the longest wait, they are refused. */
  readonly queue: { readonly perFunction: number; readonly perHost: number; readonly maxWaitMs: number }
}

const MIB = 1024 ** 2
/** The default limit of one sandbox: with less nothing would ever start. */
const LEAST_MEMORY_BYTES = 128 * MIB
const MOST_CALLS = 1_000_000
const MINUTE_MS = 60_000
const LONGEST_WAIT_MS = 60 * MINUTE_MS

export const POOL_SETTINGS = [
  ['FN_SANDBOX_MEMORY', '', 'size', 'what all sandboxes together may take; empty: 4 fifths of the machine’s memory'],
  ['FN_QUEUE_CALLS', '1000', 'number', 'calls of one function that may wait for a sandbox; beyond: 429'],
  ['FN_QUEUE_HOST_CALLS', '10000', 'number', 'calls of all functions together that may wait; beyond: 503'],
  ['FN_QUEUE_WAIT', '60s', 'duration', 'a call that found no sandbox in this time is refused'],
] as const

/** `text` gives a setting's value, defaults included. Adds a line for each problem. */
export function parsePoolSettings(text: (name: string) => string, problems: string[]): PoolSettings {
  const expected = (name: string, what: string) => {
    problems.push(`${name}: expected ${what}, got ${JSON.stringify(text(name))}`)
    return 0
  }
  const measured = (name: string, parse: (value: string) => number, what: string, least: number, most: number) => {
    try {
      const value = parse(text(name))
      return value >= least && value <= most ? value : expected(name, what)
    } catch (error) {
      if (!(error instanceof UnitError)) throw error
      return expected(name, what)
    }
  }
  const calls = (name: string) => {
    const value = Number(text(name))
    const isCount = /^\d+$/.test(text(name)) && value >= 1 && value <= MOST_CALLS
    return isCount ? value : expected(name, `a whole number from 1 to ${MOST_CALLS}`)
  }
  const memory = () => measured('FN_SANDBOX_MEMORY', parseBytes, 'a size of at least 128m', LEAST_MEMORY_BYTES, 2 ** 50)
  const wait = () => measured('FN_QUEUE_WAIT', parseDurationMs, 'a duration from 100ms to 1h', 100, LONGEST_WAIT_MS)
  return {
    sandboxMemoryBytes: text('FN_SANDBOX_MEMORY') === '' ? null : memory(),
    queue: { perFunction: calls('FN_QUEUE_CALLS'), perHost: calls('FN_QUEUE_HOST_CALLS'), maxWaitMs: wait() },
  }
}
