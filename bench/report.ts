// A run and its tables: what the terminal shows and what is kept under bench/results/. The page for people is bench/page/.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BUDGETS, type BudgetId, judge, type Verdict } from './budgets.ts'
import type { Figures } from './figures.ts'
import { JOBS_PER_S, type Lane } from './lane.ts'
import { type Latency, latencyOf, median } from './latency.ts'
import type { Machine } from './machine.ts'
import { renderPage } from './page/page.ts'
import type { Closed, ClosedName, Round } from './rounds.ts'
import type { Extent, Measured, SectionName } from './sections.ts'
import type { Starts } from './starts.ts'

export interface Run {
  readonly startedAt: string
  readonly tookS: number
  readonly commit: string
  readonly options: { readonly extent: Extent; readonly sections: readonly SectionName[] }
  readonly machine: Machine
  /** Share of all cores that other programs used right before or after the run, the larger of the two. */
  readonly others: number
  /** Versions of the peers that took part, and what could not be measured, with the reason. */
  readonly peers: Readonly<Record<string, string>>
  readonly absent: readonly string[]
  readonly figures: Figures
  readonly verdicts: Readonly<Record<string, Verdict>>
  /** The same comparisons for workerd, and for Thaw by Node's own HTTP client. */
  readonly peerFigures: Figures
  readonly plainClientFigures: Figures
  /** Everything measured, as it was measured. */
  readonly raw: Measured
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

/** These budgets as a table, one line each, with workerd's figure where it does the same. */
export function renderBudgets(
  { figures, peerFigures }: Pick<Run, 'figures' | 'peerFigures'>,
  only?: BudgetId[],
): string {
  const shown = BUDGETS.filter((budget) => only?.includes(budget.id) ?? true)
  const rows = shown.map((budget) => {
    const figure = figures[budget.id] ?? null
    const peer = peerFigures[budget.id] ?? null
    const aim = budget.aim === null ? '' : ` (aim ${budget.aim})`
    return [
      ...[budget.what, figureText(figure, budget.unit), `${budget.bound === 'most' ? '≤' : '≥'} ${budget.limit}${aim}`],
      ...[judge(budget, figure), peer === null ? '' : figureText(peer, budget.unit), budget.peer],
    ]
  })
  return table([['what', 'measured', 'budget', 'verdict', 'workerd here', 'best peer, by its own figures'], ...rows])
}

/** Latencies by name, one line each; rate and CPU a call where they were measured. */
export function renderLatencies(raw: Measured): string {
  const rows = latencyRows(raw).map(({ name, latency, closed }) => [
    name,
    ...[latency.p50, latency.p90, latency.p99, latency.p999].map((ms) => ms.toFixed(3)),
    `${latency.count}`,
    closed === undefined ? '' : closed.rate.toFixed(0),
    closed === undefined ? '' : cpuText(closed),
  ])
  return table([['ms', 'p50', 'p90', 'p99', 'p99.9', 'calls', 'calls/s', 'CPU µs a call'], ...rows])
}

export interface LatencyRow {
  readonly name: string
  readonly latency: Latency
  readonly closed?: Closed
}

/** Every distribution that was measured, under the name it has in tables. */
export function latencyRows(raw: Measured): LatencyRow[] {
  const { paced, stem, large, cold, containerPerCall, helpMs, lane } = raw
  const starts = (starts: Starts | undefined, title: string) =>
    Object.entries(starts?.calls ?? {}).map(([kind, latency]) => ({ name: `${title}: ${kind}`, latency }))
  return [
    ...middleRounds(raw.rounds ?? []).map(([name, closed]) => ({ name, latency: closed.latency, closed })),
    ...(raw.open ?? []).map(({ subject, ratePerS, latency }) => ({ name: `${subject}, open ${ratePerS}/s`, latency })),
    ...(paced === undefined
      ? []
      : (['node', 'warm', 'thawed'] as const).map((name) => ({ name: `${name}, after a gap`, latency: paced[name] }))),
    ...starts(stem, 'first call'),
    ...starts(large, 'first call, 400 kB'),
    ...starts(cold, 'first call, no stem fits'),
    ...(containerPerCall
      ? [{ name: 'runc run per call', latency: containerPerCall.latency, closed: containerPerCall }]
      : []),
    ...(lane === undefined ? [] : laneRows(lane)),
    ...(helpMs === undefined ? [] : [{ name: 'fn --help', latency: latencyOf(helpMs) }]),
  ]
}

const ACCEPTORS = { add: 'BullMQ add', http: 'BullMQ behind http', thaw: 'thaw accepts', open: 'thaw accepts and runs' }

function laneRows({ accepted, start, quiet, beside }: Lane): LatencyRow[] {
  const rows = accepted.map(({ by, sync, clients, ...closed }): LatencyRow => {
    const name = `${ACCEPTORS[by]}, ${clients} client${clients === 1 ? '' : 's'}${sync === 'always' ? '' : `, ${sync}`}`
    return { name, latency: closed.latency, closed }
  })
  return [
    ...rows,
    { name: 'from sending to start', latency: start },
    { name: 'synchronous, in quiet', latency: quiet },
    { name: `the same beside ${JOBS_PER_S} jobs/s`, latency: beside },
  ]
}

/** What of the durable lane is no latency; empty when it was not measured. */
export function renderLane({ lane }: Measured): string {
  if (lane === undefined) return ''
  const { payloadBytes, backlog, growth } = lane
  const rows = growth.map((cost) => [
    ...[`${cost.queues}`, cost.acceptedPerS.toFixed(0), (cost.acceptedPerS / cost.barePerS).toFixed(2)],
    ...[cost.acceptP50Ms.toFixed(2), cost.acceptP99Ms.toFixed(2), cost.ranPerS.toFixed(0)],
  ])
  const head = ['queues, no sandboxes', 'accepted/s', 'of bare add', 'p50 ms', 'p99 ms', 'run/s']
  return [
    `A queued call is ${payloadBytes} bytes. A backlog of ${backlog.calls} calls ran at ${backlog.ranPerS.toFixed(0)}/s.`,
    table([head, ...rows]),
  ].join('\n')
}

/** What one change costs, by how much is stored. */
export function renderGrowth({ growth }: Measured): string {
  if (growth === undefined) return ''
  const rows = growth.map((cost) => [
    ...[`${cost.count}`, cost.openMs.toFixed(0), cost.deployMs.toFixed(2), cost.versionMs.toFixed(2)],
    ...[cost.secretMs.toFixed(2), cost.missUs.toFixed(0), cost.pageUs.toFixed(0), cost.standMs.toFixed(0)],
  ])
  const head = [
    'of each',
    'start ms',
    'deploy ms',
    'version ms',
    'secret ms',
    'near miss µs',
    'page µs',
    'loop stood ms',
  ]
  return table([head, ...rows])
}

/** Of every subject the round with the middle p50 stands for its fellows; all of them are in the file. */
export function middleRounds(rounds: readonly Round[]): [ClosedName, Closed][] {
  const names = [...new Set(rounds.flatMap((round) => Object.keys(round) as ClosedName[]))]
  const first = Object.keys(rounds[0] ?? {}) as ClosedName[]
  names.sort((a, b) => first.indexOf(a) - first.indexOf(b))
  return names.map((name) => {
    const all = rounds.flatMap((round) => round[name] ?? [])
    const middle = median(all.map((closed) => closed.latency.p50)) ?? 0
    const distance = (closed: Closed) => Math.abs(closed.latency.p50 - middle)
    return [name, all.reduce((best, closed) => (distance(closed) < distance(best) ? closed : best))]
  })
}

/** Writes the run and its page; returns their paths below the root. */
export function writeRun(root: string, run: Run): { readonly json: string; readonly html: string } {
  const name = join('bench', 'results', `${run.startedAt.slice(0, 16).replace(':', '')}Z`)
  mkdirSync(join(root, 'bench', 'results'), { recursive: true })
  writeFileSync(join(root, `${name}.json`), `${JSON.stringify(run, null, 1)}\n`)
  writeFileSync(join(root, `${name}.html`), renderPage(run))
  return { json: `${name}.json`, html: `${name}.html` }
}

/** A figure with its unit; – for none. */
export function figureText(figure: number | null, unit: string): string {
  if (figure === null) return '–'
  const digits = Math.abs(figure) >= 100 ? 0 : Math.abs(figure) >= 10 ? 1 : 2
  return `${unit === 'sandboxes' ? figure : figure.toFixed(digits)} ${unit}`
}

function cpuText({ cpuUs }: Closed): string {
  return Object.entries(cpuUs)
    .map(([share, us]) => `${share} ${us.toFixed(0)}`)
    .join(', ')
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
