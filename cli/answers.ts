// Shapes of the gateway's answers as the CLI reads them, and how to read them without trusting them.
import type { SandboxInfo as OwnSandbox } from '../worker/api.ts'
import type { Alias, FunctionEntry } from '../worker/registry/api.ts'

export type { HostReport } from '../runtime/api.ts'
export type { InvocationRecord, LogLine } from '../worker/api.ts'

/** With several processes on one Redis it says whose it is. */
export type SandboxInfo = OwnSandbox & { readonly worker?: string; readonly hostName?: string }

/** Of `/readyz`. */
export interface Readiness {
  readonly ready: boolean
  readonly reason?: string
}

export interface FunctionAnswer extends FunctionEntry {
  readonly url?: string
  /** null or absent: not known now. */
  readonly queue?: QueueAnswer | null
  /** What new sandboxes are made from, and why always cold where that is so. */
  readonly starts?: { readonly version: number; readonly from: 'stem' | 'cold'; readonly reason: string | null } | null
}

/** What a function's queue holds. */
export interface QueueAnswer {
  readonly waiting: number
  readonly delayed: number
  readonly active: number
  readonly paused: boolean
  readonly deadLetters: number
}

/** `open, 2 waiting, 1 delayed, 1 dead letter`. */
export function queueText(queue: QueueAnswer): string {
  const { waiting, delayed, active, paused, deadLetters } = queue
  const parts = [paused ? 'paused' : 'open']
  if (waiting > 0) parts.push(`${waiting} waiting`)
  if (delayed > 0) parts.push(`${delayed} delayed`)
  if (active > 0) parts.push(`${active} running`)
  if (deadLetters > 0) parts.push(`${deadLetters} dead letter${deadLetters === 1 ? '' : 's'}`)
  return parts.join(', ')
}

/** A list; anything else is an empty one. */
export function listOf<T>(json: unknown): readonly T[] {
  return Array.isArray(json) ? (json as T[]) : []
}

/** The version an alias points at, or the one with the most weight; null when it points nowhere. */
export function mainVersion(alias: Alias | undefined): number | null {
  const entries = Object.entries(alias?.weights ?? {}).sort((a, b) => b[1] - a[1] || Number(b[0]) - Number(a[0]))
  return entries[0] === undefined ? null : Number(entries[0][0])
}

/** `3` for an alias of one version, `3=90 4=10` for a split one. */
export function aliasText(alias: Alias): string {
  const entries = Object.entries(alias.weights).sort((a, b) => Number(a[0]) - Number(b[0]))
  return entries.length === 1 ? entries[0]![0] : entries.map(([version, weight]) => `${version}=${weight}`).join(' ')
}
