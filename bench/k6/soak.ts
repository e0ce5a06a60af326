// soak: a modest mix for ten minutes. Does anything grow, stick or leak?
import { call, echo, seconds } from './calls.ts'

export const options = {
  scenarios: {
    soak: {
      ...{ executor: 'constant-arrival-rate', rate: 50, timeUnit: '1s', duration: seconds(600) },
      ...{ preAllocatedVUs: 20, maxVUs: 100 },
    },
  },
  thresholds: { checks: ['rate>0.999'], http_req_duration: ['p(99)<1000'] },
}

const BODY = 'x'.repeat(64 * 1024)

export default function soak(): void {
  if (__ITER % 10 === 0) echo('echo', BODY)
  else if (__ITER % 7 === 0) call('busy', '/?ms=5')
  else call('hello')
}
