// The command line of `npm run soak`: names, defaults, help, one clear sentence for each mistake, and what follows from them. Pure.
import { parseArgs } from 'node:util'

export interface SoakOptions {
  readonly minutes: number
  readonly scale: number
  readonly outageMs: number
  /** The disk full and the clock moved, after the minutes and the outage. */
  readonly faults: boolean
  readonly out: string
}

/** What is wrong with the command line, in one sentence. */
export class UsageError extends Error {}

const NUMBERS = {
  minutes: { fallback: '60', least: 0.5, most: 10_000, doc: 'of mixed load, before anything is done to the platform' },
  scale: { fallback: '1', least: 0.01, most: 10, doc: '1 is about half of what two cores can do' },
  'outage-seconds': { fallback: '60', least: 0, most: 600, doc: 'Redis stands still for so long; 0: not at all' },
} as const
type NumberName = keyof typeof NUMBERS

export function usage(): string {
  const numbers = Object.entries(NUMBERS).map(
    ([name, { fallback, doc }]) => `${`  --${name} N`.padEnd(24)}${doc} (${fallback})`,
  )
  return [
    'Usage: npm run soak -- [options]',
    '',
    'A platform of its own under mixed load, sampled every 10 s; then Redis stands still, its disk is full and its clock an hour',
    'ahead, with the load going on. Needs root. Ends with 0 when nothing grows, nothing accepted is lost and all works again.',
    '',
    ...numbers,
    `${'  --no-faults'.padEnd(24)}neither disk nor clock; the state directory lies on no disk of its own then`,
    `${'  --out FOLDER'.padEnd(24)}where soak-DATE.json and soak-DATE.html go (bench/results)`,
    '',
    'Examples:',
    '  npm run soak',
    '  npm run soak -- --minutes 3 --scale 0.2 --outage-seconds 20',
    '  npm run soak -- --no-faults --outage-seconds 0 --out /tmp',
  ].join('\n')
}

/** null: help was asked for. Throws UsageError. */
export function parseOptions(args: readonly string[], out: string): SoakOptions | null {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  let values: Record<string, string | boolean | undefined>
  try {
    const names = Object.fromEntries(Object.keys(NUMBERS).map((name) => [name, text]))
    const options = { ...names, out: text, 'no-faults': flag, help: { ...flag, short: 'h' } }
    values = parseArgs({ args: [...args], options }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  if (values.help === true) return null
  const number = (name: NumberName): number => parseNumber(name, values[name])
  return {
    minutes: number('minutes'),
    scale: number('scale'),
    outageMs: number('outage-seconds') * 1000,
    faults: values['no-faults'] !== true,
    out: typeof values.out === 'string' ? values.out : out,
  }
}

function parseNumber(name: NumberName, value: string | boolean | undefined): number {
  const { fallback, least, most } = NUMBERS[name]
  const text = value === undefined ? fallback : String(value)
  const number = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (number >= least && number <= most) return number
  throw new UsageError(`--${name}: expected a number from ${least} to ${most}, got ${JSON.stringify(text)}`)
}

/** `FN_RESULT_TTL` in seconds: short, so that the end of results is seen, and long enough to ask for them after an outage. */
export function resultTtlS({ minutes }: Pick<SoakOptions, 'minutes'>): number {
  return Math.min(300, Math.max(120, Math.round((minutes * 60) / 2)))
}

/** The run goes on for long enough to tell what grows from what warms up. */
export function judgesGrowth({ minutes }: Pick<SoakOptions, 'minutes'>): boolean {
  return minutes >= 20
}

/** The run goes on for long enough that results end within it. */
export function seesExpiry(options: Pick<SoakOptions, 'minutes'>): boolean {
  return options.minutes * 60 >= resultTtlS(options) + 45
}
