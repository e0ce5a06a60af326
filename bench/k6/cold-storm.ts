// cold-storm: a function loses its sandboxes every other second while ten callers keep asking for it. How long do they wait?
import { sleep } from 'k6'
import { call, forgetSandboxes, seconds } from './calls.ts'

export const options = {
  scenarios: {
    callers: { executor: 'constant-vus', vus: 10, duration: seconds(30), exec: 'callers' },
    storm: { executor: 'constant-vus', vus: 1, duration: seconds(30), exec: 'storm' },
  },
  // A call that runs in a sandbox while it is killed ends with 502: that is the storm's doing, and rare.
  thresholds: { checks: ['rate>0.9'], 'http_req_duration{function:hello}': ['p(90)<3000'] },
}

export function callers(): void {
  call('hello')
  sleep(0.2)
}

export function storm(): void {
  forgetSandboxes('hello')
  sleep(2)
}
