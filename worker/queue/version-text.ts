// A version as queued calls carry it: in each of them, so that a call needs nothing but itself to run, whatever becomes of the
// registry; without what nearly every version says alike, for that would be half of a queued call. Pure.
import type { FunctionConfig, FunctionVersion } from '../api.ts'

/** CONTRACT: never changed. Calls that were queued by earlier releases are read with it, whatever defaults are by then: others
 *  become a table with the next number. */
const BASE_1: Omit<FunctionConfig, 'name' | 'entry'> = Object.freeze({
  runtime: 'node24',
  form: 'web',
  timeoutMs: 30_000,
  initTimeoutMs: 10_000,
  concurrency: 100,
  sandboxConcurrency: 1,
  minWarm: 0,
  keepAliveMs: null,
  freezeGraceMs: null,
  env: Object.freeze({}),
  network: 'none',
  writableRootBytes: null,
  limits: Object.freeze({
    cpuShares: 1024,
    cpus: null,
    cpusetCpus: null,
    memory: 134_217_728,
    memoryReservation: null,
    memorySwap: 268_435_456,
    memorySwappiness: null,
    pids: 64,
    blkioWeight: null,
    blkioWeightDevice: Object.freeze([]),
    deviceReadBps: Object.freeze([]),
    deviceWriteBps: Object.freeze([]),
    deviceReadIops: Object.freeze([]),
    deviceWriteIops: Object.freeze([]),
    ulimits: Object.freeze([]),
    tmpfs: 67_108_864,
    scratch: null,
    networkRxBps: null,
    networkTxBps: null,
  }),
  maxLimits: Object.freeze({}),
  retryAttempts: 3,
  public: true,
})

/** As it is written: whole, or what differs from the table named. */
export type WrittenVersion =
  | FunctionVersion
  | (Omit<FunctionVersion, 'config'> & { readonly base: 1; readonly config: Partial<FunctionConfig> })

const TEXTS = new WeakMap<FunctionVersion, string>()

/** A newer release queued the call; only that can run it. */
export class NewerVersion extends Error {
  constructor(base: unknown) {
    super(`a newer release queued this call (table ${base} of what versions say); run it with that`)
    this.name = 'NewerVersion'
  }
}

/** As JSON; made once for each version. */
export function versionText(version: FunctionVersion): string {
  let text = TEXTS.get(version)
  if (text === undefined) {
    text = JSON.stringify(written(version))
    TEXTS.set(version, text)
  }
  return text
}

/** The version that `versionText` was given, in its parsed form. Throws for one that was written with another table: what it leaves
 *  out only a newer release knows. */
export function readVersion(version: WrittenVersion): FunctionVersion {
  if (!('base' in version)) return version
  const { base, config, ...own } = version
  if (base !== 1) throw new NewerVersion(base)
  const limits = { ...BASE_1.limits, ...config.limits }
  return { ...own, config: { ...BASE_1, ...config, limits } as FunctionConfig }
}

function written(version: FunctionVersion): WrittenVersion {
  const { config, ...own } = version
  // One of an older or newer release may lack a key, and has none then.
  if (!hasAllOf(config, BASE_1) || !hasAllOf(config.limits, BASE_1.limits)) return version
  const limits = differing(config.limits, BASE_1.limits)
  const { limits: _all, ...others } = differing(config, BASE_1)
  return {
    ...own,
    base: 1,
    config: Object.keys(limits).length === 0 ? others : { ...others, limits },
  } as WrittenVersion
}

function hasAllOf(value: object, base: object): boolean {
  return Object.keys(base).every((key) => (value as Record<string, unknown>)[key] !== undefined)
}

function differing(value: object, base: object): Record<string, unknown> {
  const same = (key: string, one: unknown) =>
    JSON.stringify(one) === JSON.stringify((base as Record<string, unknown>)[key])
  return Object.fromEntries(Object.entries(value).filter(([key, one]) => !same(key, one)))
}
