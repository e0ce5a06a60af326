// A soak as one HTML page: a chart a figure, the growths, what was sent. No assets, no scripts.
import { escapeText, linearTicks, plot } from '../../bench/page/charts.ts'
import { STYLE } from '../../bench/page/style.ts'
import { answerLines } from './answers.ts'
import type { Tally } from './load.ts'
import { recoveryLine } from './recovery.ts'
import { FIGURES, type FigureName, type Sample } from './samples.ts'
import type { Growth } from './slopes.ts'
import type { StrikeReport } from './strike.ts'

export interface Soak {
  readonly startedAt: string
  readonly minutes: number
  readonly scale: number
  readonly samples: readonly Sample[]
  readonly growths: readonly Growth[]
  readonly tallies: Readonly<Record<string, Tally>>
  readonly strikes: readonly StrikeReport[]
  /** Whether what is bounded was seen at its bound. */
  readonly bounds: readonly string[]
  readonly events: readonly string[]
}

export function renderSoak(soak: Soak): string {
  const title = `Thaw: ${soak.minutes} minutes of mixed load`
  const charts = FIGURES.map((figure) => `<h3>${figure}</h3>${chartOf(figure, soak.samples)}`)
  const rows = growthLines(soak.growths).map((line) => escapeText(line))
  const sent = tallyLines(soak.tallies).map((line) => escapeText(line))
  const events = soak.events.map((line) => escapeText(line))
  const struck = [...soak.bounds, ...soak.strikes.flatMap((strike) => ['', ...strikeLines(strike)])].map(escapeText)
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><style>${STYLE}</style>
<main><h1>${title}</h1><p>Begun ${soak.startedAt}; a sample every 10 s.</p>
<h2>Growth</h2><pre>${rows.join('\n')}</pre><h2>Calls</h2><pre>${sent.join('\n')}</pre>
<h2>Bounds and strikes</h2><pre>${struck.join('\n')}</pre>
<h2>Events</h2><pre>${events.join('\n')}</pre><h2>Figures</h2>${charts.join('\n')}</main></html>
`
}

export function growthLines(growths: readonly Growth[]): string[] {
  const head = 'figure                          median      last      most    an hour'
  const number = (value: number) => value.toFixed(1).padStart(10)
  return [
    head,
    ...growths.map(({ figure, median, last, most, perHour, grows }) => {
      const sign = perHour >= 0 ? '+' : ''
      return `${figure.padEnd(28)}${number(median)}${number(last)}${number(most)}${`${sign}${perHour.toFixed(1)}`.padStart(11)}${grows ? '  GROWS' : ''}`
    }),
  ]
}

export function tallyLines(tallies: Readonly<Record<string, Tally>>): string[] {
  return Object.entries(tallies).map(([name, { sent, expected, others }]) => {
    const rest = Object.entries(others).map(([what, count]) => `${count} × ${what}`)
    return `${name.padEnd(22)}${String(sent).padStart(9)} sent${String(expected).padStart(9)} as expected${rest.length > 0 ? `; ${rest.join(', ')}` : ''}`
  })
}

/** All that is to be told of one strike. */
export function strikeLines(strike: StrikeReport): string[] {
  const { account } = strike
  const indented = (lines: readonly string[]): string[] => lines.map((line) => `    ${line}`)
  return [
    `${strike.name}, ${strike.seconds} s`,
    '  callers were told, until all worked again:',
    ...indented(answerLines(strike.answers)),
    '  /readyz said:',
    ...indented(strike.readiness),
    `  fn doctor said besides what it says else: ${strike.doctor.join(' / ') || 'nothing'}`,
    `  a deploy in the middle of it: ${strike.deploy}`,
    `  before, these took: ${recoveryLine(strike.before)}`,
    `  afterwards, until they worked: ${strike.after === null ? 'NEVER' : recoveryLine(strike.after)}`,
    `  right answers in the ten seconds after: ${(strike.settledShare * 100).toFixed(2)} %`,
    ...indented(strike.settledShare < 1 ? answerLines(strike.settled) : []),
    `  accounted for: ${account.submitted} calls, ${account.acknowledged} accepted, ${account.succeeded} succeeded, ${account.duplicates} ran again, ${account.lost.length} lost`,
    ...strike.troubles.map((trouble) => `  TROUBLE: ${trouble}`),
  ]
}

function chartOf(figure: FigureName, samples: readonly Sample[]): string {
  const endMin = (samples.at(-1)?.atS ?? 60) / 60
  const most = Math.max(...samples.map((one) => one[figure]), 1)
  const times = linearTicks(endMin).filter((tick) => tick <= endMin)
  const amounts = linearTicks(most)
  return plot(
    { label: 'minutes', kind: 'linear', min: 0, max: endMin, ticks: times, tickText: (tick) => `${tick}` },
    { label: figure, kind: 'linear', min: 0, max: amounts.at(-1)!, ticks: amounts, tickText: (tick) => `${tick}` },
    [{ name: figure, colour: 0, points: samples.map((one) => [one.atS / 60, one[figure]] as const) }],
  )
}
