// Swap for one test: a file of its own, switched on for as long as the test's work takes and always switched off again.
// Swap is the whole machine's, so only a suite that runs alone may use it.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Runs `work` with `sizeBytes` of swap more. Needs root. */
export async function withSwapFile(sizeBytes: number, work: () => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'thaw-swap-'))
  const file = join(folder, 'swap')
  try {
    execFileSync('fallocate', ['-l', String(sizeBytes), file])
    execFileSync('chmod', ['600', file])
    execFileSync('mkswap', [file], { stdio: 'ignore' })
    execFileSync('swapon', ['--priority', '100', file])
    try {
      await work()
    } finally {
      execFileSync('swapoff', [file])
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
