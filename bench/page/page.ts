// The page of a run: the budgets, then charts of how the figures came about. One HTML file without assets or scripts.
import { BUDGETS, judge } from '../budgets.ts'
import { figureText, latencyRows, type Run } from '../report.ts'
import { escapeText } from './charts.ts'
import { renderFigures } from './figures.ts'
import { STYLE } from './style.ts'

/** The whole page as HTML. */
export function renderPage(run: Run): string {
  const { machine } = run
  const facts = [
    `${machine.cores} cores, ${machine.cpu}, ${machine.memoryGiB} GiB`,
    `kernel ${machine.kernel}`,
    `Node ${machine.node}`,
    ...Object.entries(run.peers).map(([peer, version]) => `${peer} ${version}`),
    `commit ${run.commit}`,
    `${run.options.extent.rounds} rounds, ${run.tookS} s in all`,
    `others used ${(run.others * 100).toFixed(0)} % of the cores`,
  ]
  const figures = renderFigures(run.raw)
    .map(
      ({ title, text, chart }) => `<section><h2>${escapeText(title)}</h2><p>${escapeText(text)}</p>${chart}</section>`,
    )
    .join('\n')
  const absent = run.absent.map((reason) => `<p class="note">Not measured: ${escapeText(reason)}</p>`).join('')
  const noise =
    run.others > 0.1
      ? '<p class="note">Other programs were busy on this machine during the run: do not judge by these figures.</p>'
      : ''
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Thaw: benchmarks of ${escapeText(run.startedAt.slice(0, 10))}</title><style>${STYLE}</style></head><body><main>
<h1>Thaw, measured</h1>
<p class="lead">${escapeText(run.startedAt.slice(0, 16).replace('T', ' '))} UTC. All subjects in one run on one machine, load generator included.</p>
<ul class="facts">${facts.map((fact) => `<li>${escapeText(fact)}</li>`).join('')}</ul>
${noise}${absent}
<section><h2>Budgets</h2>
<p>What is promised and what was measured. Ratios compare subjects within the same round; the last column is Thaw again, called by Node’s own HTTP client.</p>
${budgetTable(run)}</section>
${figures}
<section><h2>All latencies</h2><p>Milliseconds. Of several rounds, the one with the middle p50.</p>${latencyTable(run)}</section>
</main></body></html>
`
}

function budgetTable({ figures, peerFigures, plainClientFigures }: Run): string {
  const rows = BUDGETS.map((budget) => {
    const figure = figures[budget.id] ?? null
    const verdict = judge(budget, figure)
    const other = (value: number | null | undefined) => (value == null ? '' : figureText(value, budget.unit))
    const bound = `${budget.bound === 'most' ? '≤' : '≥'} ${budget.limit} ${budget.unit}`
    return `<tr><td>${escapeText(budget.what)}</td><td class="n"><b>${figureText(figure, budget.unit)}</b></td><td class="n">${escapeText(bound)}</td><td><span class="verdict ${verdict}">${verdict}</span></td><td class="n">${other(peerFigures[budget.id])}</td><td class="n">${other(plainClientFigures[budget.id])}</td></tr>`
  })
  const head = ['what', 'measured', 'budget', 'verdict', 'workerd here', 'by Node’s client']
  return table(head, rows)
}

function latencyTable({ raw }: Run): string {
  const rows = latencyRows(raw).map(({ name, latency, closed }) => {
    const times = [latency.p50, latency.p90, latency.p99, latency.p999].map(
      (ms) => `<td class="n">${ms.toFixed(3)}</td>`,
    )
    const rate = closed === undefined ? '' : closed.rate.toFixed(0)
    return `<tr><td>${escapeText(name)}</td>${times.join('')}<td class="n">${latency.count}</td><td class="n">${rate}</td></tr>`
  })
  return table(['subject', 'p50', 'p90', 'p99', 'p99.9', 'calls', 'calls/s'], rows)
}

function table(head: readonly string[], rows: readonly string[]): string {
  const cells = head.map((cell, column) => `<th${column > 0 ? ' class="n"' : ''}>${escapeText(cell)}</th>`).join('')
  return `<div class="wide"><table><thead><tr>${cells}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`
}
