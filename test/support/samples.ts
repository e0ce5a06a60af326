// Plain data of the borders, complete and unremarkable: what a test does not care about.
import { DEFAULT_LIMITS } from '../../runtime/api.ts'
import type { FunctionConfig, FunctionVersion, InvocationRecord } from '../../worker/api.ts'

export const EPOCH = '2026-01-01T00:00:00.000Z'

/** What a function gets whose `fn.json` says nothing. */
export function sampleConfig(name: string, changes: Partial<FunctionConfig> = {}): FunctionConfig {
  return {
    name,
    runtime: 'node24',
    entry: `${name}.ts`,
    form: 'web',
    timeoutMs: 30_000,
    initTimeoutMs: 10_000,
    concurrency: 100,
    sandboxConcurrency: 1,
    minWarm: 0,
    keepAliveMs: null,
    freezeGraceMs: null,
    env: {},
    network: 'none',
    writableRootBytes: null,
    limits: DEFAULT_LIMITS,
    maxLimits: {},
    retryAttempts: 3,
    public: true,
    ...changes,
  }
}

export function versionOf(name: string, changes: Partial<FunctionConfig> = {}, version = 1): FunctionVersion {
  const config = sampleConfig(name, changes)
  return { namespace: 'default', name, version, image: `sha256:${name}-${version}`, config, createdAt: EPOCH }
}

/** Of a call of `hello` that succeeded. */
export function sampleRecord(id: string, changes: Partial<InvocationRecord> = {}): InvocationRecord {
  return {
    id,
    namespace: 'default',
    function: 'hello',
    version: 1,
    state: 'succeeded',
    attempt: 1,
    start: 'warm',
    status: 200,
    error: null,
    createdAt: EPOCH,
    startedAt: EPOCH,
    endedAt: EPOCH,
    queueMs: 0,
    startMs: 0,
    thawMs: 0.25,
    initMs: 0,
    runMs: 1.5,
    limits: DEFAULT_LIMITS,
    metering: null,
    ...changes,
  }
}
