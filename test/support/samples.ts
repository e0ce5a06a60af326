// Plain data of the borders, complete and unremarkable: what a test does not care about.
import { v7 } from 'uuid'
import { DEFAULT_LIMITS } from '../../runtime/api.ts'
import type { FunctionConfig, FunctionVersion, InvocationRecord, InvocationRequest } from '../../worker/api.ts'
import type { Submission } from '../../worker/queue/api.ts'

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

/** `GET /` of a version, first attempt. */
export function requestOf(version: FunctionVersion, changes: Partial<InvocationRequest> = {}): InvocationRequest {
  return {
    id: 'id',
    version,
    attempt: 1,
    method: 'GET',
    target: '/',
    headers: [],
    body: null,
    limits: {},
    timeoutMs: null,
    wantsMetering: false,
    traceparent: null,
    acceptedAtMs: Date.parse(EPOCH),
    ...changes,
  }
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

/** A call of function `name` with the body `hello`. */
export function submissionOf(name: string, changes: Partial<Submission> = {}): Submission {
  return {
    id: v7(),
    version: versionOf(name),
    method: 'POST',
    target: '/',
    headers: [],
    body: Buffer.from('hello'),
    limits: {},
    timeoutMs: null,
    traceparent: null,
    delayMs: 0,
    priority: 0,
    maxAttempts: null,
    maxAgeMs: 6 * 3_600_000,
    idempotencyKey: null,
    caller: 'anonymous',
    ...changes,
  }
}
