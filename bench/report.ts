// Turns a run into what people read: the table on the terminal and the JSON under bench/results/.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BUDGETS, type BudgetId, judge, type Verdict } from './budgets.ts'
import type { Latency } from './latency.ts'
import type { Machine } from './machine.ts'

export type Figures = Readonly<Partial<Record<BudgetId, number | null>>>

export interface Run {
  readonly startedAt: string
  readonly commit: string
  readonly options: { readonly rounds: number; readonly durationMs: number }
  readonly machine: Machine
  /** Share of all cores that other programs used right before or after the run, the larger of the two. */
  readonly others: number
  readonly figures: Figures
  readonly verdicts: Readonly<Record<string, Verdict>>
  /** Everything measured, as it was measured. */
  readonly raw: unknown
}

/** A verdict for every budget. */
export function judgeAll(figures: Figures): Record<BudgetId, Verdict> {
  const entries = BUDGETS.map((budget) => [budget.id, judge(budget, figures[budget.id] ?? null)])
  return Object.fromEntries(entries) as Record<BudgetId, Verdict>
}

/** Budgets missed that hold on any machine: what `--check` fails on. */
export function missedComparisons(figures: Figures): BudgetId[] {
  return BUDGETS.filter((budget) => budget.kind !== 'absolute')
    .filter((budget) => judge(budget, figures[budget.id] ?? null) === 'missed')
    .map((budget) => budget.id)
}

/** The budgets as a table, one line each. */
export function renderBudgets(figures: Figures): string {
  const rows = BUDGETS.map((budget) => {
    const figure = figures[budget.id] ?? null
    const sign = budget.bound === 'most' ? '≤' : '≥'
    const aim = budget.aim === null ? '' : ` (aim ${budget.aim})`
    const shown = figure === null ? '–' : `${rounded(figure)} ${budget.unit}`
    return [budget.what, shown, `${sign} ${budget.limit}${aim}`, judge(budget, figure), budget.peer]
  })
  return table([['what', 'measured', 'budget', 'verdict', 'best peer'], ...rows])
}

/** Latencies by name, one line each; `rate` where there is one. */
export function renderLatencies(rows: readonly { name: string; latency: Latency; rate?: number }[]): string {
  return table([
    ['ms', 'p50', 'p90', 'p99', 'max', 'calls', 'calls/s'],
    ...rows.map(({ name, latency, rate }) => [
      name,
      ...[latency.p50, latency.p90, latency.p99, latency.max].map((ms) => ms.toFixed(3)),
      `${latency.count}`,
      rate === undefined ? '' : rate.toFixed(0),
    ]),
  ])
}

/** Writes the run and returns its path below the root. */
export function writeRun(root: string, run: Run): string {
  const name = join('bench', 'results', `${run.startedAt.slice(0, 16).replace(':', '')}Z.json`)
  mkdirSync(join(root, 'bench', 'results'), { recursive: true })
  writeFileSync(join(root, name), `${JSON.stringify(run, null, 2)}\n`)
  return name
}

function rounded(figure: number): string {
  return Math.abs(figure) >= 100 ? figure.toFixed(0) : Math.abs(figure) >= 10 ? figure.toFixed(1) : figure.toFixed(2)
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
