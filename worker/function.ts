// What a function is: its configuration, and a version of it. Plain data; part of the border worker/api.ts. How people write it:
// registry/config-shape.ts.
import type { HandlerForm, Limits } from '../runtime/api.ts'

/** What `fn.json` and flags say, parsed and complete. Times ms, sizes bytes. */
export interface FunctionConfig {
  readonly name: string
  readonly runtime: 'node24'
  /** Entry file as deployed, for people. */
  readonly entry: string
  readonly form: HandlerForm
  readonly timeoutMs: number
  readonly initTimeoutMs: number
  /** Calls at once, over all sandboxes. */
  readonly concurrency: number
  /** Calls at once in one sandbox. */
  readonly sandboxConcurrency: number
  readonly minWarm: number
  /** null: the platform's default until learned. */
  readonly keepAliveMs: number | null
  /** null: adaptive. */
  readonly freezeGraceMs: number | null
  readonly env: Readonly<Record<string, string>>
  /** `none`, `bridge`, `host`, or a network of the namespace (registry/network-text.ts). */
  readonly network: string
  /** What it may reach (`allowHosts`), each as written; absent: every public address. */
  readonly allowHosts?: readonly string[]
  readonly writableRootBytes: number | null
  readonly limits: Limits
  readonly maxLimits: Partial<Limits>
  readonly retryAttempts: number
  /** Of asynchronous calls; absent: the platform's (worker/queue/retry-policy.ts). */
  readonly retry?: RetryPolicy
  /** Asynchronous calls begun at most, over all workers; absent: no bound. */
  readonly rate?: { readonly calls: number; readonly perMs: number }
  /** Function or URL that is told of asynchronous calls that succeeded, or failed for good. */
  readonly onSuccess?: string
  readonly onFailure?: string
  readonly public: boolean
  /** Absent: none. */
  readonly volumes?: readonly VolumeUse[]
  /** Names of secrets that become variables of the environment; absent: none. */
  readonly secrets?: readonly string[]
  /** `call`: a sandbox runs one call and is destroyed; absent: it is used again. */
  readonly isolation?: 'call'
  /** `kill`: a sandbox in which something is left running after a call is destroyed; absent: it is frozen as it is. */
  readonly leftovers?: 'kill'
}

/** Why an asynchronous call is tried again. `5xx` is also what threw, `4xx` all others but 429. */
export type RetryCause = 'crash' | 'oom' | 'timeout' | '5xx' | '429' | '4xx'

export interface RetryPolicy {
  readonly on: readonly RetryCause[]
  /** Before the second attempt; doubled before each later one. */
  readonly backoffMs: number
  readonly maxBackoffMs: number
  /** No attempt begins later than this after acceptance (and delay). */
  readonly maxAgeMs: number
}

/** A volume as a function asks for it; a named one is its namespace's. */
export type VolumeUse =
  | { readonly kind: 'named'; readonly name: string; readonly path: string; readonly readOnly: boolean }
  | { readonly kind: 'bind'; readonly source: string; readonly path: string; readonly readOnly: boolean }
  | { readonly kind: 'tmpfs'; readonly path: string; readonly sizeBytes: number }

/** An immutable version. */
export interface FunctionVersion {
  readonly namespace: string
  readonly name: string
  readonly version: number
  /** Digest of the OCI manifest. */
  readonly image: string
  readonly config: FunctionConfig
  /** RFC 3339 UTC. */
  readonly createdAt: string
}
