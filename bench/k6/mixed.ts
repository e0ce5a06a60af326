// mixed: short, heavy and echoing functions at once, each at its own rate. Does one of them hold up the others?
import { call, echo, seconds } from './calls.ts'

const at = (exec: string, rate: number) => ({
  ...{ executor: 'constant-arrival-rate', exec, rate, timeUnit: '1s', duration: seconds(60) },
  ...{ preAllocatedVUs: 10, maxVUs: 100 },
})

export const options = {
  scenarios: { short: at('short', 100), heavy: at('heavy', 10), bodies: at('bodies', 20) },
  thresholds: {
    checks: ['rate>0.999'],
    'http_req_duration{function:hello}': ['p(99)<1000'],
    'http_req_duration{function:busy}': ['p(99)<3000'],
  },
}

const BODY = 'x'.repeat(256 * 1024)

export function short(): void {
  call('hello')
}

export function heavy(): void {
  call('busy', '/?ms=40')
}

export function bodies(): void {
  echo('echo', BODY)
}
