// The command line of `npm run bench`: flags, `--help`, and one clear error for what is wrong. Runs nothing.
import { parseArgs } from 'node:util'
import { type Extent, FULL, QUICK, SECTIONS, type SectionName } from './sections.ts'

export interface Options {
  readonly extent: Extent
  readonly sections: readonly SectionName[]
  /** Exit 1 when a budget that compares subjects of this run is missed. */
  readonly check: boolean
  /** The run as JSON on stdout instead of tables. */
  readonly json: boolean
  /** bench/results/<date>.json and .html are written. */
  readonly write: boolean
}

/** What is wrong with the command line, for people. */
export class UsageError extends Error {}

export const HELP = `npm run bench -- [flags]

Measures Thaw beside bare servers and peers in one run, prints tables, and writes
bench/results/<date>.json and .html. Progress goes to stderr.

  --quick         the same in about a minute: shows that it works, too short to judge by
  --check         exit 1 when a ratio or difference of bench/budgets.ts is missed
  --only NAMES    these parts alone, separated by commas (see below)
  --rounds N      rounds of warm calls (default ${FULL.rounds})
  --density N     functions deployed and frozen (default ${FULL.density})
  --json          the run as JSON on stdout, no tables
  --no-write      write no files
  --help

Parts:
${SECTIONS.map(({ name, what }) => `  ${name.padEnd(14)}  ${what}`).join('\n')}

Examples:
  npm run bench
  npm run bench -- --check
  npm run bench -- --only warm,gap --rounds 8 --no-write
  npm run bench -- --quick --json > run.json

workerd takes part once bin/setup --bench has fetched it.`

/** Parses the arguments; null when help was asked for. Throws UsageError. */
export function parseOptions(args: readonly string[]): Options | null {
  const values = parseFlags(args)
  if (values.help === true) return null
  const base = values.quick === true ? QUICK : FULL
  return {
    extent: {
      ...base,
      rounds: wholeNumber('--rounds', values.rounds, 1, 100) ?? base.rounds,
      density: wholeNumber('--density', values.density, 1, 1000) ?? base.density,
    },
    sections: values.only === undefined ? SECTIONS.map((section) => section.name) : parseNames(values.only),
    check: values.check === true,
    json: values.json === true,
    write: values['no-write'] !== true,
  }
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean' },
        check: { type: 'boolean' },
        only: { type: 'string' },
        rounds: { type: 'string' },
        density: { type: 'string' },
        json: { type: 'boolean' },
        'no-write': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split('. ')[0]}; see npm run bench -- --help`)
  }
}

function parseNames(text: string): SectionName[] {
  const names = text.split(',').map((name) => name.trim())
  return names.map((name) => {
    const section = SECTIONS.find((candidate) => candidate.name === name)
    if (section !== undefined) return section.name
    const known = SECTIONS.map((candidate) => candidate.name).join(', ')
    throw new UsageError(`--only: expected some of ${known}, got ${JSON.stringify(name)}`)
  })
}

function wholeNumber(flag: string, text: string | undefined, least: number, most: number): number | null {
  if (text === undefined) return null
  const value = Number(text)
  if (text.trim() !== '' && Number.isInteger(value) && value >= least && value <= most) return value
  throw new UsageError(`${flag}: expected a whole number from ${least} to ${most}, got ${JSON.stringify(text)}`)
}
