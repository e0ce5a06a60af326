// Quotas over a book in memory, for tests of what asks them. Owns nothing outside.
import type { QuotaBounds } from '../../worker/registry/quota-table.ts'
import { type HostQuotas, Quotas } from '../../worker/registry/quotas.ts'

/** Quotas whose changes hold at once. */
export function quotasInMemory(settings: Partial<QuotaBounds> = {}, host: HostQuotas = {}): Quotas {
  const values = new Map<string, number | null>()
  const listeners = new Set<(changed: readonly string[]) => void>()
  return new Quotas({
    settings,
    host,
    documents: {
      get: (key) => values.get(key),
      entries: () => values.entries(),
      async change(entries) {
        for (const [key, entry] of entries) {
          if (entry === null) values.delete(key)
          else values.set(key, entry.value)
        }
        for (const listener of listeners) listener([...entries.keys()])
      },
      onChange(listener) {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    },
  })
}
