// spike: from 10 to 600 calls a second within a second, and back. Is anything refused, and does it recover?
import { call, seconds } from './calls.ts'

export const options = {
  scenarios: {
    spike: {
      ...{ executor: 'ramping-arrival-rate', startRate: 10, timeUnit: '1s', preAllocatedVUs: 50, maxVUs: 400 },
      stages: [
        { target: 10, duration: seconds(10) },
        { target: 600, duration: seconds(1) },
        { target: 600, duration: seconds(10) },
        { target: 10, duration: seconds(1) },
        { target: 10, duration: seconds(10) },
      ],
    },
  },
  thresholds: { checks: ['rate>0.99'], http_req_duration: ['p(50)<1000', 'p(99)<5000'] },
}

export default function spike(): void {
  call('busy', '/?ms=1')
}
