// Charts as SVG text: lines and dots over two scales, and stacked bars. Pure; colours are the page's variables `--c0` to `--c7`, so
// that light and dark are the page's business.

export interface Scale {
  readonly label: string
  readonly min: number
  readonly max: number
  /** `nines`: shares of calls, each step towards 1 as wide as the one before it; the values are shares below 1. */
  readonly kind: 'linear' | 'log' | 'nines'
  readonly ticks: readonly number[]
  readonly tickText: (value: number) => string
}

export interface Series {
  readonly name: string
  /** Index of the colour. */
  readonly colour: number
  readonly points: readonly (readonly [x: number, y: number])[]
  /** Default `line`. */
  readonly shape?: 'line' | 'steps' | 'dots'
}

export interface BarPart {
  readonly name: string
  readonly value: number
}
export interface Bar {
  readonly name: string
  readonly parts: readonly BarPart[]
}

const WIDTH = 720
const HEIGHT = 320
const MARGIN = { left: 78, right: 16, top: 12, bottom: 46 }

/** Lines or dots, with a legend above. */
export function plot(x: Scale, y: Scale, series: readonly Series[]): string {
  const toX = (value: number) => MARGIN.left + place(x, value) * (WIDTH - MARGIN.left - MARGIN.right)
  const toY = (value: number) => HEIGHT - MARGIN.bottom - place(y, value) * (HEIGHT - MARGIN.top - MARGIN.bottom)
  const bottom = HEIGHT - MARGIN.bottom
  const grid = [
    ...x.ticks.map((tick) => {
      const at = toX(tick).toFixed(1)
      const text = `<text x="${at}" y="${bottom + 16}" text-anchor="middle">${escapeText(x.tickText(tick))}</text>`
      return `<line class="grid" x1="${at}" x2="${at}" y1="${MARGIN.top}" y2="${bottom}"/>${text}`
    }),
    ...y.ticks.map((tick) => {
      const at = toY(tick)
      const text = `<text x="${MARGIN.left - 8}" y="${(at + 4).toFixed(1)}" text-anchor="end">${escapeText(y.tickText(tick))}</text>`
      return `<line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at.toFixed(1)}" y2="${at.toFixed(1)}"/>${text}`
    }),
  ]
  const middle = (MARGIN.top + bottom) / 2
  const labels = [
    `<text class="label" x="${(MARGIN.left + WIDTH) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escapeText(x.label)}</text>`,
    `<text class="label" x="16" y="${middle}" text-anchor="middle" transform="rotate(-90 16 ${middle})">${escapeText(y.label)}</text>`,
  ]
  const shapes = series.map((one) => shapeOf(one, toX, toY))
  return `${legend(series)}${svg(HEIGHT, [...grid, ...labels, ...shapes])}`
}

/** Horizontal bars of coloured parts; the same name has the same colour in all bars. */
export function stackedBars(bars: readonly Bar[], unit: string): string {
  const names = [...new Set(bars.flatMap((bar) => bar.parts.map((part) => part.name)))]
  const total = (bar: Bar) => bar.parts.reduce((sum, part) => sum + part.value, 0)
  const longest = Math.max(...bars.map(total), Number.MIN_VALUE)
  const left = 170
  const room = WIDTH - left - 90
  const row = 30
  const rows = bars.map((bar, index) => {
    const y = index * row + 6
    let x = left
    const parts = bar.parts.map((part) => {
      const width = (part.value / longest) * room
      const title = `<title>${escapeText(`${part.name}: ${amount(part.value)} ${unit}`)}</title>`
      const rect = `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="18" fill="var(--c${names.indexOf(part.name) % 8})">${title}</rect>`
      x += width
      return rect
    })
    const name = `<text x="${left - 10}" y="${y + 13}" text-anchor="end">${escapeText(bar.name)}</text>`
    const sum = `<text x="${(x + 8).toFixed(1)}" y="${y + 13}">${amount(total(bar))} ${escapeText(unit)}</text>`
    return `${name}${parts.join('')}${sum}`
  })
  return `${legend(names.map((name, index) => ({ name, colour: index % 8 })))}${svg(bars.length * row + 8, rows)}`
}

/** 1, 2 or 5 times a power of ten from `min` to `max`. */
export function logTicks(min: number, max: number, steps: readonly number[] = [1, 10]): number[] {
  const ticks: number[] = []
  for (let power = 10 ** Math.floor(Math.log10(min)); power <= max; power *= 10) {
    for (const step of steps) {
      const tick = step * power
      if (step < 10 && tick >= min * 0.999 && tick <= max * 1.001) ticks.push(Number(tick.toPrecision(6)))
    }
  }
  return ticks
}

/** From 0 to at least `max` in about five round steps. */
export function linearTicks(max: number): number[] {
  const rough = Math.max(max, Number.MIN_VALUE) / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough)! * power
  return Array.from({ length: Math.ceil(max / step) + 1 }, (_, n) => Number((n * step).toPrecision(6)))
}

/** Text as SVG and HTML content or attribute. */
export function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

/** 0 at the scale's minimum, 1 at its maximum; outside it is clamped. */
function place({ kind, min, max }: Scale, value: number): number {
  const project = (v: number) => (kind === 'log' ? Math.log10(v) : kind === 'nines' ? -Math.log10(1 - v) : v)
  const clamped = Math.min(max, Math.max(min, value))
  return (project(clamped) - project(min)) / (project(max) - project(min))
}

function shapeOf(
  { points, colour, shape, name }: Series,
  toX: (v: number) => number,
  toY: (v: number) => number,
): string {
  const at = points.map(([x, y]) => [toX(x).toFixed(1), toY(y).toFixed(1)] as const)
  const title = `<title>${escapeText(name)}</title>`
  if (shape === 'dots' || points.length === 1) {
    const r = shape === 'dots' ? 1.6 : 3
    return at.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="${r}" fill="var(--c${colour})"/>`).join('')
  }
  const path = at.map(([x, y], n) => (n === 0 ? `M${x} ${y}` : shape === 'steps' ? `H${x}V${y}` : `L${x} ${y}`))
  return `<path d="${path.join('')}" fill="none" stroke="var(--c${colour})" stroke-width="2">${title}</path>`
}

function legend(entries: readonly Pick<Series, 'name' | 'colour'>[]): string {
  const items = entries.map(
    ({ name, colour }) => `<span><i style="background:var(--c${colour})"></i>${escapeText(name)}</span>`,
  )
  return `<div class="legend">${items.join('')}</div>`
}

function svg(height: number, content: readonly string[]): string {
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img">${content.join('')}</svg>`
}

function amount(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
