// FN_QUOTA_*: quotas of namespaces for which none was set, from the environment. One setting for each quota of the table.
import { UnitError } from '../runtime/api.ts'
import { parseQuota, QUOTAS, type QuotaBounds, quotaSetting, quotaText } from '../worker/registry/quota-table.ts'

/** Quotas that the settings say; a key that is not there has its default. */
export type QuotaSettings = Readonly<Partial<QuotaBounds>>

/** What an empty setting means where it follows from the host. */
const OF_HOST: Readonly<Record<string, string>> = {
  sandboxes: '3 quarters of the host’s',
  memory: '3 quarters of what all sandboxes may take',
  minWarm: 'as many as a quarter of that memory holds',
  volumesBytes: 'half of the disk',
  imagesBytes: 'a quarter of the disk',
  requestsPerSecond: '5,000 for each core',
}

/** All of these settings, for `fn config`. */
export const QUOTA_SETTINGS = QUOTAS.map(({ key, unit, kind, fallback, doc }) => {
  const most = `most in a namespace: ${doc}`
  return {
    name: quotaSetting(key),
    fallback: fallback === null ? '' : quotaText(key, fallback),
    unit: `${unit === 'bytes' ? 'size' : 'number'}${kind === 'rate' ? ' a second' : ''} or none`,
    doc: fallback === null ? `${most}; empty: ${OF_HOST[key]}, and none for namespace default` : most,
  }
})

/** Parses the settings. What is wrong with them goes to `problems`, one line each. */
export function parseQuotaSettings(
  env: Readonly<Record<string, string | undefined>>,
  problems: string[],
): QuotaSettings {
  const bounds: Partial<Record<keyof QuotaBounds, number | null>> = {}
  for (const { key } of QUOTAS) {
    const name = quotaSetting(key)
    const text = env[name]
    if (text === undefined || text === '') continue
    try {
      bounds[key] = parseQuota(key, text)
    } catch (error) {
      if (!(error instanceof UnitError)) throw error
      problems.push(`${name}: ${error.message.replace(/^\w+: /, '')}`)
    }
  }
  const known = new Set(QUOTA_SETTINGS.map(({ name }) => name))
  for (const name of Object.keys(env)) {
    if (!name.startsWith('FN_QUOTA_') || known.has(name)) continue
    const names = [...known].map((other) => other.slice('FN_QUOTA_'.length)).join(' ')
    problems.push(`${name}: no such quota; known: ${names}`)
  }
  return bounds
}
