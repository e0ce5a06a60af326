// The children a program finds that was started in place of another (exec.ts): those of the one before.
import { setTimeout as sleep } from 'node:timers/promises'
import { reapAny } from './syscalls.ts'

const POLL_MS = 20

/** Takes the exits of all children until there is none left, or `timeoutMs` have passed. Only where nothing was started yet. */
export async function awaitChildren(timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const found = reapAny()
    if (found === 'none') return
    if (found === 'reaped') continue
    if (performance.now() > deadline) return
    await sleep(POLL_MS)
  }
}
