// What a deploy, or moving `latest`, may add to a namespace: functions, versions of one, sandboxes kept warm. Reads what it is given.
import type { FunctionVersion } from '../api.ts'
import { findSame, type LoadedFunction, type StoredFunction, versionBytes } from './entries.ts'
import type { Quotas } from './quotas.ts'

/** What a namespace has of functions that are not removed. */
export interface HeldFunctions {
  readonly count: number
  /** Sandboxes they keep warm, together. */
  readonly warm: number
  /** What its versions take, removed functions aside. */
  readonly versionBytes: number
  /** Names of functions that were removed. */
  readonly removedNames: number
}

/** Most aliases of one function: each is looked through when a call names one. */
export const MOST_ALIASES = 100

/** What the versions of a namespace may take in all: their configurations and 512 bytes each. They lie in the memory of every process. */
export const MOST_VERSION_BYTES = 64 * 1024 ** 2
/** Names that functions of a namespace ever had: each leaves its last number behind, so that a number never means two contents. */
export const MOST_NAMES = 20_000

/** The version may be kept and become `latest`. The same content again is no new version. Throws QuotaExceeded. */
export function expectVersionFits(
  quotas: Quotas,
  known: LoadedFunction | undefined,
  candidate: FunctionVersion,
  held: HeldFunctions,
): void {
  const { namespace } = candidate
  const stored = known?.stored
  const isLive = stored !== undefined && !stored.removed
  if (!isLive) quotas.expect(namespace, 'functions', held.count)
  if (stored === undefined)
    quotas.expectFixed(namespace, 'functionNames', MOST_NAMES, held.count + held.removedNames, {
      wayOut: 'names of functions that were removed count too: deploy under one of those',
    })
  const versions = stored?.versions.length ?? 0
  const isNew = findSame(known, candidate.image, candidate.config) === undefined
  if (isNew) {
    quotas.expect(namespace, 'versions', versions)
    quotas.expectFixed(namespace, 'versionBytes', MOST_VERSION_BYTES, held.versionBytes, {
      more: versionBytes(candidate),
      wayOut: 'remove versions that no alias names (fn rm NAME@VERSION), or keep less in env',
    })
  }
  expectWarmFits(quotas, candidate, known, held)
}

/** `latest` may move to the version: nothing is kept warm beyond the bound that was not before. Throws QuotaExceeded. */
export function expectWarmFits(
  quotas: Quotas,
  { namespace, config }: FunctionVersion,
  known: LoadedFunction | undefined,
  held: HeldFunctions,
): void {
  const before = known?.warm ?? 0
  if (config.minWarm > before) quotas.expect(namespace, 'minWarm', held.warm - before, config.minWarm)
}

/** An alias more. Throws QuotaExceeded. */
export function expectAliasFits(quotas: Quotas, stored: StoredFunction | undefined, alias: string): void {
  if (stored === undefined || Object.hasOwn(stored.aliases, alias)) return
  const { namespace, name, aliases } = stored
  quotas.expectFixed(namespace, 'aliases', MOST_ALIASES, Object.keys(aliases).length, { owner: name })
}
