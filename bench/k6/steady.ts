// steady: 200 calls a second to one warm function, whoever is still waiting. What does an ordinary day cost?
import { call, seconds } from './calls.ts'

export const options = {
  scenarios: {
    steady: {
      ...{ executor: 'constant-arrival-rate', rate: 200, timeUnit: '1s', duration: seconds(60) },
      ...{ preAllocatedVUs: 20, maxVUs: 100 },
    },
  },
  thresholds: {
    checks: ['rate>0.999'],
    http_req_duration: ['p(50)<20', 'p(99)<250'],
    dropped_iterations: ['count<200'],
  },
}

export default function steady(): void {
  call('hello')
}
