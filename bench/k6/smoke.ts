// smoke: every function once a second by one caller. Does anything work at all?
import { sleep } from 'k6'
import { call, echo, seconds } from './calls.ts'

export const options = {
  vus: 1,
  duration: seconds(5),
  thresholds: { checks: ['rate==1'], http_req_failed: ['rate==0'] },
}

export default function smoke(): void {
  call('hello', '/?name=k6')
  echo('echo', 'ping')
  call('busy', '/?ms=1')
  sleep(1)
}
