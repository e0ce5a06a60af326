// OpenTelemetry behind the worker's tracing seam: one trace per invocation, its phases as children. Loaded only when an
// endpoint is configured; what is not sampled makes no span object.
import type { Attributes, Context, Span, Tracer } from '@opentelemetry/api'
import type { InvocationRecord } from '../../worker/api.ts'
import type { InvocationTrace, Tracing } from '../../worker/tracing.ts'

export interface ClosableTracing extends Tracing {
  /** Sends what is buffered, waits at most 3 s. */
  close(): Promise<void>
}

const FLUSH_DEADLINE_MS = 3_000
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/
const SAMPLED = 1

/** Traces go to `<endpoint>/v1/traces` (OTLP over HTTP, the OpenTelemetry environment's convention). null: tracing is off. */
export async function createTracing(endpoint: string | null): Promise<ClosableTracing | null> {
  if (endpoint === null) return null
  const [api, sdk, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ])
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces` })
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'thaw' }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.AlwaysOnSampler() }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter, scheduledDelayMillis: 500 })],
  })
  const tracer = provider.getTracer('thaw')
  return {
    startInvocation(request) {
      const parent = TRACEPARENT.exec(request.traceparent ?? '')
      // A caller that says "not sampled" gets no span at all; its context passes through untouched.
      if (parent && (Number.parseInt(parent[3]!, 16) & SAMPLED) === 0) return null
      const root = parent
        ? api.trace.setSpanContext(api.ROOT_CONTEXT, {
            traceId: parent[1]!,
            spanId: parent[2]!,
            traceFlags: SAMPLED,
            isRemote: true,
          })
        : api.ROOT_CONTEXT
      const { version } = request
      const attributes: Attributes = {
        'faas.name': version.name,
        'faas.version': String(version.version),
        'faas.invocation_id': request.id,
        'faas.trigger': 'http',
        'thaw.namespace': version.namespace,
        'thaw.attempt': request.attempt,
        'http.request.method': request.method,
      }
      const options = { kind: api.SpanKind.SERVER, startTime: request.acceptedAtMs, attributes }
      const span = tracer.startSpan(`invoke ${version.name}`, options, root)
      return traceOf(span, tracer, api.trace.setSpan(root, span), api.SpanStatusCode.ERROR)
    },
    async close() {
      let timer: NodeJS.Timeout | undefined
      const deadline = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, FLUSH_DEADLINE_MS)
      })
      await Promise.race([provider.shutdown().catch(() => {}), deadline])
      clearTimeout(timer)
    },
  }
}

function traceOf(span: Span, tracer: Tracer, context: Context, errorStatus: number): InvocationTrace {
  const { traceId, spanId } = span.spanContext()
  return {
    traceparent: `00-${traceId}-${spanId}-01`,
    end(record) {
      let atMs = Date.parse(record.createdAt)
      for (const [name, ms] of phasesOf(record)) {
        const startTime = atMs
        atMs += ms
        if (ms > 0) tracer.startSpan(name, { startTime }, context).end(atMs)
      }
      span.setAttributes({
        'thaw.start': record.start ?? 'none',
        'thaw.state': record.state,
        ...(record.status === null ? {} : { 'http.response.status_code': record.status }),
        ...(record.error === null ? {} : { 'error.type': record.error.code }),
      })
      if (record.error) span.setStatus({ code: errorStatus, message: record.error.message })
      span.end(Math.max(atMs, record.endedAt === null ? 0 : Date.parse(record.endedAt)))
    },
  }
}

function phasesOf(record: InvocationRecord): [name: string, ms: number][] {
  return [
    ['queue', record.queueMs],
    ['start', record.startMs],
    ['thaw', record.thawMs],
    ['init', record.initMs],
    ['run', record.runMs],
  ]
}
