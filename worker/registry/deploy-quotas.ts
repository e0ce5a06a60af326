// What a deploy, or moving `latest`, may add to a namespace: functions, versions of one, sandboxes kept warm. Reads what it is given.
import type { FunctionVersion } from '../api.ts'
import type { Alias } from './api.ts'
import { findSame, type StoredFunction } from './entries.ts'
import type { Quotas } from './quotas.ts'

/** Functions of a namespace that are not removed. */
export type LiveFunctions = readonly StoredFunction[]

type Latest = Pick<StoredFunction, 'versions' | 'aliases'>

/** Most aliases of one function: each is looked through when a call names one. */
export const MOST_ALIASES = 100

/** The version may be kept and become `latest`. The same content again is no new version. Throws QuotaExceeded. */
export function expectVersionFits(
  quotas: Quotas,
  stored: StoredFunction | undefined,
  candidate: FunctionVersion,
  live: LiveFunctions,
): void {
  const { namespace } = candidate
  const isLive = stored !== undefined && !stored.removed
  if (!isLive) quotas.expect(namespace, 'functions', live.length)
  const versions = stored?.versions.length ?? 0
  const isNew = findSame(stored, candidate.image, candidate.config) === undefined
  if (isNew) quotas.expect(namespace, 'versions', versions)
  expectWarmFits(quotas, candidate, live)
}

/** `latest` may move to the version: nothing is kept warm beyond the bound that was not before. Throws QuotaExceeded. */
export function expectWarmFits(quotas: Quotas, next: FunctionVersion, live: LiveFunctions): void {
  const { namespace, name, config } = next
  if (config.minWarm === 0) return
  let others = 0
  let before = 0
  for (const stored of live) {
    if (stored.name === name) before = warmOf(stored)
    else others += warmOf(stored)
  }
  if (config.minWarm > before) quotas.expect(namespace, 'minWarm', others, config.minWarm)
}

/** An alias more. Throws QuotaExceeded. */
export function expectAliasFits(quotas: Quotas, stored: StoredFunction | undefined, alias: string): void {
  if (stored === undefined || Object.hasOwn(stored.aliases, alias)) return
  const { namespace, name, aliases } = stored
  quotas.expectFixed(namespace, 'aliases', MOST_ALIASES, Object.keys(aliases).length, { owner: name })
}

/** Sandboxes kept warm, all functions together. */
export function warmIn(live: Iterable<Latest>): number {
  let sum = 0
  for (const stored of live) sum += warmOf(stored)
  return sum
}

/** Of the versions that calls of `latest` get, the most that one keeps: a host keeps those of one version. */
function warmOf({ versions, aliases }: Latest): number {
  const weights: Alias['weights'] = aliases.latest?.weights ?? {}
  let most = 0
  for (const number of Object.keys(weights)) {
    const found = versions.find(({ version }) => version === Number(number))
    most = Math.max(most, found?.config.minWarm ?? 0)
  }
  return most
}
