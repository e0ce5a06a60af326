// A call the platform itself submits (a schedule's, a chain's): nobody waits for it, nothing is asked of it beyond what its
// function's configuration says.
import type { Submission } from './api.ts'
import { planFollowUps } from './callbacks/plan.ts'

type Given = Pick<Submission, 'id' | 'version' | 'method' | 'target' | 'headers' | 'body' | 'caller'>

/** `depth`: how many calls of its chain were before it. */
export function ownSubmission(given: Given, depth = 0): Submission {
  return {
    ...given,
    limits: {},
    timeoutMs: null,
    traceparent: null,
    delayMs: 0,
    priority: 0,
    maxAttempts: null,
    maxAgeMs: null,
    idempotencyKey: null,
    notify: planFollowUps(given.version.config, null, depth),
  }
}
