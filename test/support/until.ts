// Waiting for a condition in tests: polled, with a deadline, and with what was last seen in the error.
import { setTimeout as delay } from 'node:timers/promises'
import { timeScale } from './time-scale.ts'

const POLL_MS = 20

/** Polls until `condition` returns true. A string it returns says what is still missing and ends up in the error. */
export async function until(
  what: string,
  condition: () => boolean | string | Promise<boolean | string>,
  deadlineMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + deadlineMs * timeScale
  for (;;) {
    const seen = await condition()
    if (seen === true) return
    if (performance.now() > deadline) {
      throw new Error(`waited ${deadlineMs} ms until ${what}${seen === false ? '' : `; last seen: ${seen}`}`)
    }
    await delay(POLL_MS)
  }
}
