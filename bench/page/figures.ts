// The charts of a run: what each shows and what a reader should look for. Draws with charts.ts; a part not measured has no chart.
import type { Burst } from '../burst.ts'
import { type Curve, latencyOf } from '../latency.ts'
import { middleRounds } from '../report.ts'
import type { Closed, ClosedName } from '../rounds.ts'
import type { Measured } from '../sections.ts'
import type { Phases } from '../starts.ts'
import { type Bar, linearTicks, logTicks, plot, type Scale, type Series, stackedBars } from './charts.ts'

export interface Figure {
  readonly title: string
  readonly text: string
  /** HTML with SVG in it. */
  readonly chart: string
}

export function renderFigures(raw: Measured): Figure[] {
  const closed = new Map(middleRounds(raw.rounds ?? []))
  return [warmFigure(closed), openFigure(raw), startFigure(raw), phaseFigure(raw), burstFigure(raw.burst)]
    .concat([memoryFigure(raw), cpuFigure(closed)])
    .filter((figure) => figure !== null)
}

type ClosedMap = ReadonlyMap<ClosedName, Closed>

function warmFigure(closed: ClosedMap): Figure | null {
  const one = cdf([
    ['bare node:http', 7, closed.get('node')?.curve],
    ['workerd', 3, closed.get('workerd')?.curve],
    ['Thaw, warm', 0, closed.get('thaw')?.curve],
    ['Thaw, limits changed by every call', 2, closed.get('limited')?.curve],
  ])
  const many = cdf([
    ['bare Hono', 7, closed.get('hono-32')?.curve],
    ['workerd', 3, closed.get('workerd-32')?.curve],
    ['Thaw, one call a sandbox', 0, closed.get('thaw-32')?.curve],
    ['Thaw, sandboxConcurrency 32', 1, closed.get('shared-32')?.curve],
  ])
  if (one === null || many === null) return null
  const text =
    'A call to a function that is already loaded: further left is faster, and a line that stays steep to the top has no slow outliers.'
  return { title: 'Warm calls', text, chart: `<h3>One connection</h3>${one}<h3>32 connections</h3>${many}` }
}

function openFigure({ open }: Measured): Figure | null {
  if (open === undefined) return null
  const names = { node: ['bare node:http', 7], workerd: ['workerd', 3], thaw: ['Thaw', 0] } as const
  const rates = [...new Set(open.map((row) => row.ratePerS))]
  const charts = rates.map((rate) => {
    const rows = open.filter((row) => row.ratePerS === rate)
    const lateness = rows.find((row) => row.subject === 'thaw')?.lateness?.p50 ?? 0
    const title = `<h3>${rate} calls a second (the generator itself was ${lateness.toFixed(2)} ms late, p50)</h3>`
    return `${title}${cdf(rows.map((row) => [...names[row.subject], row.curve] as const)) ?? ''}`
  })
  const text =
    'Calls at fixed instants, whoever is still being answered; latency counts from the instant a call was due, so a stall is charged with every call it held up.'
  return { title: 'Open loop', text, chart: charts.join('') }
}

function startFigure({ paced, stem, large, cold, containerPerCall }: Measured): Figure | null {
  const chart = cdf([
    ['warm, after 50 ms idle', 0, paced?.curves.warm],
    ['thawed, after 50 ms idle', 2, paced?.curves.thawed],
    ['stem', 1, stem?.curves.stem],
    ['stem, bundle of 400 kB', 5, large?.curves.stem],
    ['cold', 4, cold?.curves.cold],
    ['runc run per call', 7, containerPerCall?.curve],
  ])
  if (chart === null) return null
  const text =
    'How a call got its sandbox: it was running, it was frozen and thawed, a booted one took the code, or everything was made from nothing. The naive runner makes a container for every call.'
  return { title: 'Kinds of start', text, chart }
}

const PHASES = ['queue', 'start', 'thaw', 'init', 'run', 'rest'] as const satisfies readonly (keyof Phases)[]

function phaseFigure({ stem, large, cold, launchSteps }: Measured): Figure | null {
  const bars: Bar[] = []
  for (const [title, starts] of [
    ['hello', stem],
    ['400 kB', large],
    ['no stem fits', cold],
  ] as const) {
    for (const [kind, phases] of Object.entries(starts?.phases ?? {})) {
      bars.push({ name: `${title}: ${kind}`, parts: PHASES.map((name) => ({ name, value: phases[name] })) })
    }
  }
  if (bars.length === 0 && launchSteps === undefined) return null
  const steps = launchSteps === undefined ? '' : launchChart(launchSteps)
  const text =
    'Where a first call’s time goes, medians. Above, as its record tells it; “rest” is HTTP both ways. Below, the steps of creating a sandbox by itself.'
  return { title: 'First calls by phase', text, chart: `${bars.length === 0 ? '' : stackedBars(bars, 'ms')}${steps}` }
}

function launchChart(steps: NonNullable<Measured['launchSteps']>): string {
  const parts = steps.map(({ name, ms }) => ({ name, value: ms }))
  return `<h3>One launch, nothing else running</h3>${stackedBars([{ name: 'a new sandbox', parts }], 'ms')}`
}

function burstFigure(burst: Burst | undefined): Figure | null {
  if (burst === undefined || burst.answeredMs.length === 0) return null
  const end = burst.answeredMs.at(-1)!
  const time: Scale = {
    ...{ label: 'ms since the burst', kind: 'linear', min: -100, max: end + 100 },
    ...{ ticks: linearTicks(end + 100).filter((tick) => tick <= end + 100), tickText: (tick: number) => `${tick}` },
  }
  const answered = burst.answeredMs.map((at, n) => [at, n + 1] as const)
  const seen = (of: (row: Burst['sandboxes'][number]) => number) =>
    burst.sandboxes.map((row) => [row.atMs, of(row)] as const)
  const work = plot(time, upTo('calls answered', burst.calls), [
    { name: 'calls answered', colour: 0, points: answered, shape: 'steps' },
  ])
  const most = Math.max(burst.mostSandboxes, 2)
  const boxes = plot(time, upTo('sandboxes', most), [
    { name: 'loaded sandboxes', colour: 2, points: seen((row) => row.live), shape: 'steps' },
    { name: 'being started', colour: 1, points: seen((row) => row.starting), shape: 'steps' },
  ])
  const took = burst.neighbour.map(([, ms]) => ms)
  const neighbour = plot(time, ms('ms', Math.min(...took), Math.max(...took)), [
    { name: 'the second function', colour: 3, points: burst.neighbour.filter(([at]) => at > -100), shape: 'dots' },
  ])
  const { quiet, during } = burst
  const text = `${burst.calls} calls at once to a function nobody serves, each of 10 ms of CPU: ${burst.failed} failed; at most ${burst.mostSandboxes} sandboxes, ${burst.mostLaunches} launches at once. A second function, called 200 times a second all the while: p99 ${quiet.p99.toFixed(1)} ms in quiet, ${during.p99.toFixed(1)} ms during bursts.`
  const titled = `<h3>The burst</h3>${work}<h3>Its sandboxes</h3>${boxes}<h3>Each call of the second function</h3>${neighbour}`
  return { title: 'A burst, and its neighbour', text, chart: titled }
}

function memoryFigure({ density }: Measured): Figure | null {
  if (density === undefined) return null
  const megabytes = (bytes: number, count: number) => Math.max(0, bytes / count / 1e6)
  const all: readonly Series[] = [
    {
      ...{ name: 'frozen, left alone', colour: 7 },
      points: density.frozen.map((point) => [point.count, megabytes(point.chargedBytes, point.count)]),
    },
    {
      ...{ name: 'frozen and reclaimed, zram’s share in it', colour: 0 },
      points: density.reclaimed.map(({ count, chargedBytes, zramBytes }) => [
        count,
        megabytes(chargedBytes + zramBytes, count),
      ]),
    },
    {
      ...{ name: 'of that, charged to the sandbox', colour: 2 },
      points: density.reclaimed.map((point) => [point.count, megabytes(point.chargedBytes, point.count)]),
    },
  ]
  const series = all.filter((one) => one.points.length > 0)
  const points = series.flatMap((one) => one.points)
  const counts = points.map(([count]) => count)
  const x: Scale = {
    ...{ label: 'functions deployed and frozen', kind: 'log', min: 1, max: Math.max(...counts, 2) },
    ...{ ticks: [...new Set(counts)].sort((a, b) => a - b), tickText: (tick: number) => `${tick}` },
  }
  const { asked, right, firstCalls } = density
  const text = `Memory of one frozen sandbox against how many there are. Afterwards ${asked} of them were called: ${right} answered rightly, in ${firstCalls.p50.toFixed(1)} ms (p50), coming back from compressed memory.`
  return {
    title: 'Frozen sandboxes',
    text,
    chart: plot(x, upTo('MB a sandbox', Math.max(...points.map(([, y]) => y))), series),
  }
}

function cpuFigure(closed: ClosedMap): Figure | null {
  const shown: readonly (readonly [ClosedName, string])[] = [
    ['node', 'bare node:http, c=1'],
    ['workerd', 'workerd, c=1'],
    ['thaw', 'Thaw, c=1'],
    ['hono-32', 'bare Hono, c=32'],
    ['workerd-32', 'workerd, c=32'],
    ['thaw-32', 'Thaw, c=32'],
    ['shared-32', 'Thaw shared, c=32'],
  ]
  const bars = shown.flatMap(([name, title]): Bar[] => {
    const cpuUs = closed.get(name)?.cpuUs
    if (cpuUs === undefined) return []
    return [{ name: title, parts: Object.entries(cpuUs).map(([part, value]) => ({ name: part, value })) }]
  })
  if (bars.length === 0) return null
  const text =
    'CPU time of a warm call, by who used it. Generator and servers share the two cores, so all of it is time a call cannot have twice.'
  return { title: 'CPU of a call', text, chart: stackedBars(bars, 'µs') }
}

/** Cumulative distributions over a logarithmic time; null when there is nothing to draw. */
function cdf(curves: readonly (readonly [name: string, colour: number, curve: Curve | undefined])[]): string | null {
  const series = curves.flatMap(([name, colour, curve]): Series[] =>
    curve === undefined || curve.length === 0
      ? []
      : [{ name, colour, points: curve.map(([share, took]) => [took, share] as const) }],
  )
  if (series.length === 0) return null
  const times = series.flatMap((one) => one.points.map(([took]) => took)).filter((took) => took > 0)
  const y: Scale = {
    ...{ label: 'calls at most as slow', kind: 'nines', min: 0, max: 0.9999 },
    ...{
      ticks: [0, 0.5, 0.9, 0.99, 0.999, 0.9999],
      tickText: (share: number) => `${Number((share * 100).toFixed(2))} %`,
    },
  }
  const { min, max } = latencySpan(times)
  return plot(ms('ms', min, max), y, series)
}

function latencySpan(times: readonly number[]): { readonly min: number; readonly max: number } {
  const sorted = [...times].sort((a, b) => a - b)
  return { min: sorted[0] ?? 0.01, max: latencyOf(times).max }
}

function ms(label: string, min: number, max: number): Scale {
  const [low, high] = [Math.max(0.001, min * 0.9), Math.max(max * 1.1, min * 2)]
  const ticks = logTicks(low, high, high / low > 200 ? [1] : [1, 2, 5])
  return { label, kind: 'log', min: low, max: high, ticks, tickText: (tick) => `${tick}` }
}

function upTo(label: string, max: number): Scale {
  const ticks = linearTicks(max)
  return { label, kind: 'linear', min: 0, max: ticks.at(-1)!, ticks, tickText: (tick) => `${tick}` }
}
