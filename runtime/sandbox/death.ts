// Why the process inside ended: from the kernel's account of its exit, its OOM counter, and its own last words.
// Finds out only; killing and telling the calls is the sandbox's business.
import { constants } from 'node:os'
import type { Clock, Fault } from '../api.ts'
import { type ReapedExit, reap } from '../host/syscalls.ts'
import { formatBytes } from '../limits/units.ts'

export interface DeathEvidence {
  readonly exit: ReapedExit | null
  /** Processes killed at the memory limit since the last accounting. */
  readonly oomKills: number
  readonly stderrTail: string
  readonly memoryLimitBytes: number
  readonly memoryPeakBytes: number
}

const HEAP_EXHAUSTED = /heap out of memory|Fatal process out of memory|Fatal JavaScript out of memory/
const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, value]) => [value as number, name]))

/** The fault that explains a death. Pure. */
export function explainDeath(evidence: DeathEvidence): Fault {
  const data = { limitBytes: evidence.memoryLimitBytes, peakBytes: evidence.memoryPeakBytes }
  const limit = formatBytes(evidence.memoryLimitBytes)
  if (evidence.oomKills > 0) return { code: 'OUT_OF_MEMORY', message: `killed at its memory limit of ${limit}`, data }
  if (HEAP_EXHAUSTED.test(evidence.stderrTail)) {
    const message = `the JavaScript heap is full (memory limit ${limit})`
    return { code: 'OUT_OF_MEMORY', message, data }
  }
  return explainExit(evidence.exit)
}

function explainExit(exit: ReapedExit | null): Fault {
  if (exit === null) return { code: 'EXITED', message: 'the process ended; how is not known' }
  if (exit.signal !== null) {
    const signal = SIGNAL_NAMES.get(exit.signal) ?? `signal ${exit.signal}`
    return { code: 'EXITED', message: `the process was ended by ${signal}`, data: { signal } }
  }
  const exitCode = exit.code ?? 0
  return { code: 'EXITED', message: `the process exited with code ${exitCode}`, data: { exitCode } }
}

/** Waits (bounded) until the process `pid`, a child by adoption, has ended, and takes its exit from the kernel.
 *  `running` when it still lives after `timeoutMs`; null when nothing is known about it. */
export async function awaitExit(pid: number, timeoutMs: number, clock: Clock): Promise<ReapedExit | null | 'running'> {
  const deadlineMs = clock.monotonicMs() + timeoutMs
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 20)) {
    const result = reap(pid)
    if (result === 'not-ours') return null
    if (result !== 'running') return result
    if (clock.monotonicMs() >= deadlineMs) return 'running'
    await new Promise<void>((resolve) => clock.after(waitMs, resolve))
  }
}
