// What an operator watches: one trace per invocation at an OTLP collector, Prometheus metrics, health, OpenAPI.
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

interface SpanData {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  startTimeUnixNano: string
  endTimeUnixNano: string
}
let platform: Platform
let collector: Server
const spans: SpanData[] = []
beforeAll(async () => {
  collector = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as {
        resourceSpans: { scopeSpans: { spans: SpanData[] }[] }[]
      }
      spans.push(...body.resourceSpans.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans)))
      response.setHeader('content-type', 'application/json')
      response.end('{}')
    })
  })
  const port = await new Promise<number>((resolve) =>
    collector.listen(0, '127.0.0.1', () => resolve((collector.address() as { port: number }).port)),
  )
  platform = await startPlatform({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` } })
  await platform.deploy(join(ROOT, 'test', 'fixtures', 'functions', 'probe.ts'))
})
afterAll(async () => {
  await platform.stop()
  collector.close()
})

const PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

test('one trace per invocation continues the caller’s, with the phases as children, and the function sees it', async () => {
  const response = await platform.request('/fn/probe/meta', { headers: { traceparent: PARENT } })
  const seen = new Map(((await response.json()) as { headers: [string, string][] }).headers).get('traceparent') ?? ''
  expect(seen).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01$/)
  await until('the spans arrive', () => spans.some((span) => span.name === 'invoke probe'), 10_000)
  const root = spans.find((span) => span.name === 'invoke probe')!
  expect(root.traceId).toBe('4bf92f3577b34da6a3ce929d0e0e4736')
  expect(root.parentSpanId).toBe('00f067aa0ba902b7')
  expect(root.spanId).toBe(seen.split('-')[2])
  const children = spans.filter((span) => span.parentSpanId === root.spanId)
  expect(children.map((span) => span.name)).toContain('run')
  expect(children.every((span) => span.traceId === root.traceId)).toBe(true)
})

test('one trace goes through the queue, from the acceptance of a call to its runs', async () => {
  const headers = { prefer: 'respond-async', traceparent: PARENT.replace('4bf9', 'cccc') }
  const accepted = await platform.request('/fn/probe/meta', { headers })
  expect(accepted.status).toBe(202)
  const result = await platform.request(`${accepted.headers.get('location')}/result?wait=20s`)
  const seen = new Map(((await result.json()) as { headers: [string, string][] }).headers).get('traceparent') ?? ''
  const own = () => spans.filter((span) => span.traceId.startsWith('cccc'))
  const find = (name: string) => own().find((span) => span.name === name)
  await until(
    'both spans arrive',
    () => find('enqueue probe') !== undefined && find('invoke probe') !== undefined,
    10_000,
  )
  expect(find('enqueue probe')!.parentSpanId).toBe('00f067aa0ba902b7')
  expect(find('invoke probe')!.parentSpanId).toBe(find('enqueue probe')!.spanId)
  expect(seen.split('-').slice(1, 3)).toEqual([find('invoke probe')!.traceId, find('invoke probe')!.spanId])
})

test('a caller that does not sample gets no span, and its context passes through', async () => {
  const parent = PARENT.replace(/01$/, '00').replace('4bf9', 'aaaa')
  const response = await platform.request('/fn/probe/meta', { headers: { traceparent: parent } })
  const seen = new Map(((await response.json()) as { headers: [string, string][] }).headers).get('traceparent')
  expect(seen).toBe(parent)
  await (
    await platform.request('/fn/probe/status/200', { headers: { traceparent: PARENT.replace('4bf9', 'bbbb') } })
  ).text()
  await until('a later span arrives', () => spans.some((span) => span.traceId.startsWith('bbbb')), 10_000)
  expect(spans.some((span) => span.traceId.startsWith('aaaa'))).toBe(false)
})

test('/metrics counts invocations by function and outcome', async () => {
  await (await platform.request('/fn/probe/status/200')).text()
  await (await platform.request('/fn/probe/throw/x')).text()
  const metrics = await (await platform.request('/metrics')).text()
  expect(metrics).toMatch(/^# TYPE thaw_\w+ counter$/m)
  expect(metrics).toMatch(/^thaw_invocations_total\{[^}]*function="probe"[^}]*\} [1-9]/m)
  expect(metrics).toMatch(/FUNCTION_THREW|outcome="failed"/)
})

test('/metrics tells how long the event loop stood since it was asked last', async () => {
  const longest = async () =>
    Number(/^thaw_event_loop_stand_max_seconds (\S+)$/m.exec(await (await platform.request('/metrics')).text())?.[1])
  await until('a quiet platform tells of no stand', async () => (await longest()) === 0)
  expect(await (await platform.request('/metrics')).text()).toMatch(
    /^thaw_event_loop_stand_seconds_bucket\{le="0.1"\} \d+$[\s\S]*^thaw_event_loop_core_wait_seconds_total [\d.e-]+$/m,
  )
})

test('health, readiness and the OpenAPI document are open', async () => {
  expect((await fetch(`${platform.url}/healthz`)).status).toBe(200)
  expect((await fetch(`${platform.url}/readyz`)).status).toBe(200)
  const document = (await (await fetch(`${platform.url}/openapi.json`)).json()) as {
    openapi: string
    paths: Record<string, unknown>
  }
  expect(document.openapi).toMatch(/^3\.1/)
  expect(Object.keys(document.paths)).toContain('/v1/functions/{name}')
})
