// FN_HOST_MAX_* and FN_NAMESPACE_MAX_*: the highest limits of the host and of a namespace, from the environment.
// One setting for each limit that can have one, named after it; parsed like the limit itself.
import {
  CEILING_NAMES,
  isAbove,
  LIMITS,
  type LimitCeiling,
  type LimitDefinition,
  LimitError,
  parseLimit,
} from '../runtime/api.ts'

const SCOPES = ['host', 'namespace'] as const
const DEFINITIONS: ReadonlyMap<string, LimitDefinition> = new Map(LIMITS.map((limit) => [limit.name, limit]))

/** What `fn config` shows of one such setting. */
export interface CeilingSetting {
  readonly name: string
  readonly unit: string
  readonly doc: string
}

/** Every setting there is, by name. */
export const CEILING_SETTINGS: readonly CeilingSetting[] = SCOPES.flatMap((scope) =>
  CEILING_NAMES.map((limit) => ({
    name: settingName(scope, limit),
    unit: DEFINITIONS.get(limit)!.unit,
    doc: `highest ${DEFINITIONS.get(limit)!.kebab} of ${scope === 'host' ? 'any function on this host' : 'a function in a namespace'}`,
  })),
)

/** Parses the settings. What is wrong with them goes to `problems`, one line each. */
export function parseCeilings(env: Readonly<Record<string, string | undefined>>, problems: string[]): LimitCeiling[] {
  const ceilings: LimitCeiling[] = []
  for (const scope of SCOPES) {
    for (const limit of CEILING_NAMES) {
      const source = settingName(scope, limit)
      const text = env[source]
      if (text === undefined || text === '') continue
      try {
        ceilings.push({ limit, value: parseLimit(limit, text), scope, source })
      } catch (error) {
        if (!(error instanceof LimitError)) throw error
        problems.push(`${source}: ${error.message}`)
      }
    }
  }
  reportUnknown(env, problems)
  for (const { limit, value, scope, source } of ceilings) {
    const host = ceilings.find((other) => scope === 'namespace' && other.scope === 'host' && other.limit === limit)
    if (host !== undefined && isAbove(limit, value, host.value)) {
      problems.push(`${source}: ${env[source]} is above the host's own ${env[host.source]} (${host.source})`)
    }
  }
  return ceilings
}

function reportUnknown(env: Readonly<Record<string, string | undefined>>, problems: string[]): void {
  const known = new Set(CEILING_SETTINGS.map((setting) => setting.name))
  for (const name of Object.keys(env)) {
    const prefix = /^FN_(?:HOST|NAMESPACE)_MAX_/.exec(name)?.[0]
    if (prefix === undefined || known.has(name)) continue
    const names = [...known].filter((other) => other.startsWith(prefix)).map((other) => other.slice(prefix.length))
    problems.push(`${name}: no such limit; known: ${names.join(' ')}`)
  }
}

/** `memorySwap` → `FN_HOST_MAX_MEMORY_SWAP`. */
function settingName(scope: (typeof SCOPES)[number], limit: string): string {
  return `FN_${scope.toUpperCase()}_MAX_${DEFINITIONS.get(limit)!.kebab.replaceAll('-', '_').toUpperCase()}`
}
