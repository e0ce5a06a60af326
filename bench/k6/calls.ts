// What the scripts share: where the platform is, one checked call, and counts of how calls got their sandbox. k6 runs this, not Node.
import { check } from 'k6'
import http, { type Response } from 'k6/http'
import { Counter, Trend } from 'k6/metrics'

const URL = __ENV.FN_URL ?? 'http://127.0.0.1:8080'
const starts = new Counter('fn_starts')
const queued = new Trend('fn_queue_ms')

/** Calls a function and checks that it answered 200 from a sandbox. */
export function call(name: string, path = '/'): Response {
  return checked(http.get(`${URL}/fn/${name}${path}`, { tags: { function: name } }))
}

/** Sends a body and checks that as much comes back. */
export function echo(name: string, body: string): Response {
  const response = checked(http.post(`${URL}/fn/${name}`, body, { tags: { function: name } }))
  check(response, { 'the whole body came back': ({ body: back }) => back?.length === body.length })
  return response
}

/** Ends the sandboxes of a function, so that its next call starts one. Needs FN_TOKEN. */
export function forgetSandboxes(name: string): void {
  const headers = { authorization: `Bearer ${__ENV.FN_TOKEN ?? ''}` }
  const rows = JSON.parse(http.get(`${URL}/v1/sandboxes`, { headers }).body ?? '[]') as {
    id: string
    function: string
  }[]
  for (const row of rows.filter((one) => one.function === name)) {
    http.post(`${URL}/v1/sandboxes/${row.id}/kill`, '', { headers })
  }
}

/** Scales durations: `K6_SCALE=0.1` makes a soak of a minute. */
export function seconds(full: number): string {
  return `${Math.max(1, Math.round(full * Number(__ENV.K6_SCALE ?? 1)))}s`
}

function checked(response: Response): Response {
  check(response, { 'status is 200': ({ status }) => status === 200 })
  starts.add(1, { kind: response.headers['Fn-Start'] ?? 'none' })
  const queue = /queue;dur=([\d.]+)/.exec(response.headers['Server-Timing'] ?? '')?.[1]
  if (queue !== undefined) queued.add(Number(queue))
  return response
}
