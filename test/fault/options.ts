// The command line of `npm run fault`: names, defaults, help, and one clear sentence for each mistake.
import { parseArgs } from 'node:util'
import { FAULT_KINDS, type FaultKind } from './faults.ts'
import type { HouseKind } from './house.ts'

export interface FaultOptions {
  readonly calls: number
  readonly clients: number
  readonly kills: number
  readonly rate: number
  readonly kinds: readonly FaultKind[]
  readonly houses: readonly HouseKind[]
  /** All kinds in one campaign of each house instead of one each. */
  readonly mixed: boolean
  readonly seed: number
  readonly minutes: number
  readonly json: boolean
  readonly logFile: string | undefined
}

/** What is wrong with the command line, in one sentence. */
export class UsageError extends Error {}

const NUMBERS = {
  calls: { fallback: 5000, least: 1, most: 1_000_000, doc: 'calls of each campaign, at least' },
  clients: { fallback: 16, least: 1, most: 256, doc: 'clients that submit at once' },
  kills: { fallback: 50, least: 0, most: 10_000, doc: 'faults of each kind' },
  rate: { fallback: 40, least: 1, most: 100_000, doc: 'calls a second, from all clients together' },
  minutes: { fallback: 30, least: 1, most: 10_000, doc: 'no fault begins later than this in a campaign' },
} as const
type NumberName = keyof typeof NUMBERS

/** What is to be run, one after the other. */
export function campaignsOf({ kinds, houses, mixed }: FaultOptions): { house: HouseKind; kinds: FaultKind[] }[] {
  return houses.flatMap((house) => {
    const fitting = kinds.filter((kind) => kind.houses.includes(house))
    if (mixed) return fitting.length === 0 ? [] : [{ house, kinds: fitting }]
    return fitting.map((kind) => ({ house, kinds: [kind] }))
  })
}

export function usage(): string {
  const numbers = Object.entries(NUMBERS).map(
    ([name, { fallback, doc }]) => `${`  --${name} N`.padEnd(18)}${doc} (${fallback})`,
  )
  const kinds = FAULT_KINDS.map(({ name, what }) => `  ${name.padEnd(12)} ${what}`)
  return [
    'Usage: npm run fault -- [options]',
    '',
    'Kills and starves a platform of its own while clients submit asynchronous calls, then accounts for every call.',
    'Needs root. Ends with 0 when all accounts are clean, 1 when one is not, 2 for a mistake in the command line.',
    '',
    ...numbers,
    '  --kinds A,B     kinds of faults, one campaign each (all)',
    '  --house NAME    together (fn up) or apart (fn gateway, two fn worker, a Redis); default: both',
    '  --mixed         one campaign a house, with all kinds that can strike there',
    '  --seed N        repeats the plan of an earlier campaign (chosen and printed)',
    '  --log FILE      all that the platforms print is appended there',
    '  --json          one JSON document on stdout instead of the table; progress stays on stderr',
    '',
    'Kinds:',
    ...kinds,
    '',
    'Examples:',
    '  npm run fault',
    '  npm run fault -- --kinds redis,torn --kills 10 --calls 500',
    '  npm run fault -- --mixed --kills 3 --calls 400 --seed 7',
    '  npm run fault -- --house apart --kinds worker',
  ].join('\n')
}

/** null: help was asked for. Throws UsageError. */
export function parseOptions(args: readonly string[]): FaultOptions | null {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  let values: Record<string, string | boolean | undefined>
  try {
    const names = Object.fromEntries(Object.keys(NUMBERS).map((name) => [name, text]))
    const options = {
      ...names,
      kinds: text,
      seed: text,
      log: text,
      house: text,
      mixed: flag,
      json: flag,
      help: { ...flag, short: 'h' },
    }
    values = parseArgs({ args: [...args], options }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  if (values.help === true) return null
  const number = (name: NumberName): number => parseNumber(name, values[name])
  return {
    calls: number('calls'),
    clients: number('clients'),
    kills: number('kills'),
    rate: number('rate'),
    minutes: number('minutes'),
    kinds: parseKinds(values.kinds),
    houses: parseHouses(values.house),
    mixed: values.mixed === true,
    json: values.json === true,
    logFile: values.log === undefined ? undefined : String(values.log),
    seed: values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : parseSeed(String(values.seed)),
  }
}

function parseNumber(name: NumberName, value: string | boolean | undefined): number {
  const { fallback, least, most } = NUMBERS[name]
  if (value === undefined) return fallback
  const number = /^\d+$/.test(String(value)) ? Number(value) : Number.NaN
  if (number >= least && number <= most) return number
  throw new UsageError(`--${name}: expected a whole number from ${least} to ${most}, got ${JSON.stringify(value)}`)
}

function parseSeed(value: string): number {
  if (/^\d{1,10}$/.test(value)) return Number(value)
  throw new UsageError(`--seed: expected a whole number of at most ten digits, got ${JSON.stringify(value)}`)
}

function parseHouses(value: string | boolean | undefined): HouseKind[] {
  if (value === undefined) return ['together', 'apart']
  if (value === 'together' || value === 'apart') return [value]
  throw new UsageError(`--house: expected together or apart, got ${JSON.stringify(value)}`)
}

function parseKinds(value: string | boolean | undefined): FaultKind[] {
  if (value === undefined) return [...FAULT_KINDS]
  return String(value)
    .split(',')
    .map((name) => {
      const kind = FAULT_KINDS.find((one) => one.name === name)
      if (kind !== undefined) return kind
      const known = FAULT_KINDS.map((one) => one.name).join(', ')
      throw new UsageError(`--kinds: expected some of ${known}, got ${JSON.stringify(name)}`)
    })
}
