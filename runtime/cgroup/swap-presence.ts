// Whether this host has swap at the moment: what swaps nothing needs no swap counters read. Asked by every call of every
// sandbox, so the kernel is asked a few times a second at most. Knows no cgroup.
import type { Clock } from '../api.ts'
import type { ControlFile } from './control-file.ts'

/** Swap that is turned on is noticed so much later at most. */
const FRESH_MS = 100

/** `swaps`: /proc/swaps, whose first line is a heading; the caller closes it. An unreadable file counts as swap. */
export function watchSwap(swaps: Pick<ControlFile, 'readText'>, clock: Clock): () => boolean {
  let readAtMs = Number.NEGATIVE_INFINITY
  let isOn = true
  return () => {
    const nowMs = clock.monotonicMs()
    if (nowMs - readAtMs < FRESH_MS) return isOn
    readAtMs = nowMs
    try {
      isOn = swaps.readText().trim().includes('\n')
    } catch {
      isOn = true
    }
    return isOn
  }
}
