// Whether sandboxes can be made at all. When several creations in a row fail, the platform makes a sandbox for itself, free of any
// function's configuration, and reports why that failed until a creation works again. Wraps `create`; decides nothing for its callers.
import type { Clock, Logger, Runtime, SandboxSpec } from './api.ts'
import { DEFAULT_LIMITS } from './limits/limits.ts'

export interface WatchedRuntime {
  readonly runtime: Runtime
  /** Why no sandbox can be made now; null: as far as is known they can. */
  trouble(): string | null
  /** Stops trying. */
  close(): void
}

/** Failures in a row before the platform tries one for itself. */
const SUSPICIOUS = 3
/** Between two tries while they fail, and after one that worked. */
const RETRY_MS = 5000
const QUIET_MS = 30_000
const PLAIN: SandboxSpec = {
  layers: [],
  limits: { ...DEFAULT_LIMITS, memory: 64 * 1024 ** 2, memorySwap: 64 * 1024 ** 2 },
  network: 'none',
  writableRootBytes: null,
}

export function watchCreations(runtime: Runtime, clock: Clock, logger: Logger): WatchedRuntime {
  let failures = 0
  let trouble: string | null = null
  let trying = false
  let notBeforeMs = Number.NEGATIVE_INFINITY
  let cancelRetry = () => {}
  let closed = false
  const worked = (): void => {
    failures = 0
    if (trouble === null) return
    trouble = null
    cancelRetry()
    logger.warn({}, 'sandboxes can be made again')
  }
  const attempt = async (): Promise<void> => {
    if (trying || closed) return
    trying = true
    try {
      const sandbox = await runtime.create(PLAIN)
      worked()
      notBeforeMs = clock.monotonicMs() + QUIET_MS
      await sandbox.destroy()
    } catch (error) {
      const reason = (error as Error).message
      if (trouble === null) logger.error({ reason }, 'no sandbox can be made')
      trouble = `no sandbox can be made: ${reason}`
      if (!closed) cancelRetry = clock.after(RETRY_MS, () => void attempt())
    } finally {
      trying = false
    }
  }
  const failed = (): void => {
    failures++
    if (failures >= SUSPICIOUS && trouble === null && clock.monotonicMs() >= notBeforeMs) void attempt()
  }
  const create: Runtime['create'] = async (spec) => {
    try {
      const sandbox = await runtime.create(spec)
      worked()
      return sandbox
    } catch (error) {
      failed()
      throw error
    }
  }
  return {
    runtime: { ...runtime, create },
    trouble: () => trouble,
    close: () => {
      closed = true
      cancelRetry()
    },
  }
}
