// OpenTelemetry behind the worker's tracing seam: one trace per invocation, its phases as children. Loaded only when an
// endpoint is configured; what is not sampled makes no span object.
import type { Attributes, Context, Span, SpanKind, Tracer } from '@opentelemetry/api'
import type { InvocationRecord, InvocationRequest } from '../../worker/api.ts'
import type { InvocationTrace, Tracing } from '../../worker/tracing.ts'

export interface ClosableTracing extends Tracing {
  /** Sends what is buffered, waits at most 3 s. */
  close(): Promise<void>
}

const FLUSH_DEADLINE_MS = 3_000
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/
const SAMPLED = 1
type Api = typeof import('@opentelemetry/api')

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
      const started = startSpan(api, tracer, `invoke ${request.version.name}`, api.SpanKind.SERVER, request)
      if (started === null) return null
      started.span.setAttribute('thaw.attempt', request.attempt)
      return traceOf(started.span, tracer, started.context, api.SpanStatusCode.ERROR)
    },
    startAccept(call) {
      const started = startSpan(api, tracer, `enqueue ${call.version.name}`, api.SpanKind.PRODUCER, call)
      if (started === null) return null
      const { span } = started
      return {
        traceparent: traceparentOf(span),
        end(accepted) {
          if (!accepted) span.setStatus({ code: api.SpanStatusCode.ERROR, message: 'not accepted' })
          span.end()
        },
      }
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

/** null: the caller said "not sampled"; it gets no span at all, its context passes through untouched. */
function startSpan(
  api: Api,
  tracer: Tracer,
  name: string,
  kind: SpanKind,
  call: Pick<InvocationRequest, 'id' | 'version' | 'method' | 'traceparent' | 'acceptedAtMs'>,
): { readonly span: Span; readonly context: Context } | null {
  const parent = TRACEPARENT.exec(call.traceparent ?? '')
  if (parent && (Number.parseInt(parent[3]!, 16) & SAMPLED) === 0) return null
  const root = parent
    ? api.trace.setSpanContext(api.ROOT_CONTEXT, {
        traceId: parent[1]!,
        spanId: parent[2]!,
        traceFlags: SAMPLED,
        isRemote: true,
      })
    : api.ROOT_CONTEXT
  const { version } = call
  const attributes: Attributes = {
    'faas.name': version.name,
    'faas.version': String(version.version),
    'faas.invocation_id': call.id,
    'faas.trigger': 'http',
    'thaw.namespace': version.namespace,
    'http.request.method': call.method,
  }
  const span = tracer.startSpan(name, { kind, startTime: call.acceptedAtMs, attributes }, root)
  return { span, context: api.trace.setSpan(root, span) }
}

function traceparentOf(span: Span): string {
  const { traceId, spanId } = span.spanContext()
  return `00-${traceId}-${spanId}-01`
}

function traceOf(span: Span, tracer: Tracer, context: Context, errorStatus: number): InvocationTrace {
  return {
    traceparent: traceparentOf(span),
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
