// The pids controller of one sandbox: how many tasks (processes and threads) it may have at once. Same files in v1 and v2.
import type { LimitOutcome } from '../api.ts'
import type { Limits } from '../limits/limits.ts'
import type { ControlFile } from './control-file.ts'
import type { SandboxDirectory } from './sandbox-directory.ts'

export class PidsController {
  readonly #max: ControlFile
  readonly #current: ControlFile
  readonly #peak: ControlFile | null
  #inForce: number | null = null

  constructor(directory: SandboxDirectory) {
    const place = directory.require('pids')
    this.#max = directory.file(place, 'pids.max', 'write')
    this.#current = directory.file(place, 'pids.current', 'read')
    this.#peak = directory.optional(place, 'pids.peak', 'read')
  }

  /** Refuses a limit below the tasks there are: the kernel would take it and then fail every further clone. */
  check(limits: Limits): LimitOutcome {
    if (this.#inForce === null || limits.pids >= this.#inForce) return { applied: true }
    const inUse = this.#current.readNumber()
    return inUse <= limits.pids ? { applied: true } : { applied: false, limit: 'pids', asked: limits.pids, inUse }
  }

  /** Writes the limit when it differs. Throws RuntimeError LIMIT_WRITE. */
  apply(limits: Limits): void {
    if (limits.pids === this.#inForce) return
    this.#max.write(String(limits.pids))
    this.#inForce = limits.pids
  }

  /** Most tasks at once since the sandbox began (the kernel offers no reset), or null on kernels before 6.1. */
  peak(): number | null {
    return this.#peak?.readNumber() ?? null
  }

  close(): void {
    for (const file of [this.#max, this.#current, this.#peak]) file?.close()
  }
}
