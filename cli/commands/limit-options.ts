// One flag per limit, from the one table of limits; checked while the command line is read, kept as text.
import { type Command, InvalidArgumentError, Option } from 'commander'
import { LIMITS, type LimitDefinition, LimitError, parseLimit } from '../../runtime/api.ts'

/** Limit name → text, or a list of texts for repeated limits. */
export type LimitTexts = Readonly<Record<string, string | readonly string[]>>

/** Adds `--memory`, `--cpu-shares`, … under a heading of their own; with `perCall` only those a call can set. */
export function addLimitOptions(command: Command, perCall: boolean): void {
  for (const limit of LIMITS) {
    if (perCall && !limit.perCall) continue
    const more = limit.repeated ? '; repeatable' : ''
    const option = new Option(`--${limit.kebab} <${placeholder(limit)}>`, `${limit.doc} (${limit.unit}${more})`)
    option.argParser((text: string, previous: unknown) => collect(limit, text, previous)).helpGroup('Limits:')
    command.addOption(option)
  }
}

/** The limits among a verb's options. */
export function limitTexts(options: Readonly<Record<string, unknown>>): LimitTexts {
  const texts: Record<string, string | readonly string[]> = {}
  for (const { name } of LIMITS) {
    const value = options[name]
    if (typeof value === 'string' || Array.isArray(value)) texts[name] = value
  }
  return texts
}

function collect(limit: LimitDefinition, text: string, previous: unknown): string | string[] {
  try {
    parseLimit(limit.name, text)
  } catch (error) {
    if (error instanceof LimitError) throw new InvalidArgumentError(error.message)
    throw error
  }
  if (!limit.repeated) return text
  return [...(Array.isArray(previous) ? (previous as string[]) : []), ...text.split(',').map((part) => part.trim())]
}

function placeholder(limit: LimitDefinition): string {
  if (limit.unit === 'bytes') return 'size'
  if (limit.unit.includes('bytes/s') || limit.unit.includes('ops/s')) return 'rate'
  return limit.unit.includes('weight') || limit.name.startsWith('blkioWeight') ? 'weight' : 'value'
}
