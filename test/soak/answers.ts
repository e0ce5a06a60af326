// What callers were told, and what the platform said of itself, in a stretch of time. Pure.
import type { Tally } from './load.ts'

/** Status or error text → how many. */
export type Answers = Readonly<Record<string, number>>

/** An answer of `/readyz`; status 0: there was none. */
export interface Look {
  readonly atMs: number
  readonly status: number
  readonly reason: string
}

export function copyOf(tallies: ReadonlyMap<string, Tally>): Map<string, Tally> {
  return new Map([...tallies].map(([name, tally]) => [name, { ...tally, others: { ...tally.others } }]))
}

/** By stream, what came between two copies. `rights`: what an answer that is right is called, by stream. */
export function answersBetween(
  before: ReadonlyMap<string, Tally>,
  after: ReadonlyMap<string, Tally>,
  rights: ReadonlyMap<string, string>,
): Record<string, Answers> {
  const result: Record<string, Answers> = {}
  for (const [name, { expected, others }] of after) {
    const was = before.get(name)
    const counts = [
      [rights.get(name) ?? 'right', expected - (was?.expected ?? 0)] as const,
      ...Object.entries(others).map(([what, count]) => [what, count - (was?.others[what] ?? 0)] as const),
    ].filter(([, count]) => count > 0)
    if (counts.length > 0) result[name] = Object.fromEntries(counts)
  }
  return result
}

/** Of all answers, those that were right. `besides`: streams whose outcome is the machine's to say. 1 where there were none. */
export function rightShare(
  answers: Readonly<Record<string, Answers>>,
  rights: ReadonlyMap<string, string>,
  besides: readonly string[] = [],
): number {
  let [all, right] = [0, 0]
  for (const [name, counts] of Object.entries(answers)) {
    if (besides.includes(name)) continue
    for (const count of Object.values(counts)) all += count
    right += counts[rights.get(name) ?? 'right'] ?? 0
  }
  return all === 0 ? 1 : right / all
}

export function answerLines(answers: Readonly<Record<string, Answers>>): string[] {
  return Object.entries(answers).map(([name, counts]) => {
    const each = Object.entries(counts).map(([what, count]) => `${count} × ${what}`)
    return `${name.padEnd(22)} ${each.join(', ')}`
  })
}

/** What was said, in the order in which it was first said. */
export function readinessLines(looks: readonly Look[], fromMs: number): string[] {
  const said = new Map<string, { firstMs: number; lastMs: number; count: number }>()
  for (const { atMs, status, reason } of looks) {
    const what = status === 0 ? `no answer (${reason})` : reason === '' ? `${status}` : `${status} “${reason}”`
    const known = said.get(what) ?? { firstMs: atMs, lastMs: atMs, count: 0 }
    said.set(what, { firstMs: known.firstMs, lastMs: atMs, count: known.count + 1 })
  }
  const seconds = (ms: number): string => ((ms - fromMs) / 1000).toFixed(1)
  return [...said].map(
    ([what, { firstMs, lastMs, count }]) => `${what}: ${count} looks, from ${seconds(firstMs)} to ${seconds(lastMs)} s`,
  )
}

/** Sentences where `/readyz` never said what it has to, or (null) was not ready throughout. */
export function missedWords(looks: readonly Look[], says: RegExp | null): string[] {
  if (says !== null) return looks.some(({ reason }) => says.test(reason)) ? [] : [`/readyz never said ${says}`]
  const unready = looks.filter(({ status }) => status !== 200)
  return unready.length === 0 ? [] : [`/readyz was not 200 in ${unready.length} of ${looks.length} looks`]
}

/** Lines of a command's output that were not there before: what it says of what has changed. */
export function newLines(before: string, now: string): string[] {
  const known = new Set(before.split('\n').map((line) => line.trim()))
  return now
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !known.has(line))
}

/** What a command said as one line, alike for each of its runs: without its progress, the folder and the number in a name. */
export function sentenceOf(said: string, folder: string): string {
  return said
    .replaceAll(`${folder}/`, '')
    .replaceAll(/turn-\d+/g, 'turn-N')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('bundled '))
    .join(' / ')
    .slice(0, 300)
}
