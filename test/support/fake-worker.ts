// A Worker whose functions are closures: it answers calls by script and remembers them. Only `invoke` does anything.
import type { Readable } from 'node:stream'
import type {
  Invocation,
  InvocationFailure,
  InvocationRecord,
  InvocationRequest,
  InvocationSink,
  Worker,
} from '../../worker/api.ts'

/** What a fake function does with a call: a response, or a failure. */
export type FakeAnswer =
  | { readonly status: number; readonly headers?: readonly string[]; readonly body?: string | Buffer }
  | { readonly failure: InvocationFailure }
export type FakeFunction = (call: FakeCall) => FakeAnswer | Promise<FakeAnswer>
export interface FakeCall {
  readonly request: InvocationRequest
  readonly body: Buffer
  /** Aborted by `Invocation.abort`. */
  readonly signal: AbortSignal
}

export interface FakeWorker extends Worker {
  readonly calls: FakeCall[]
  handle: FakeFunction
}

/** Without a function of its own it answers 200 with the request's body. */
export function createFakeWorker(handle: FakeFunction = ({ body }) => ({ status: 200, body })): FakeWorker {
  const calls: FakeCall[] = []
  const nothing = {
    verify: async () => {},
    retire: async () => {},
    renew: () => {},
    sandboxes: () => [],
    coldReason: async () => null,
    act: async () => Promise.reject(new Error('no sandboxes here')),
    record: async () => null,
    records: () => [],
    logs: async () => [],
    subscribe: () => () => {},
    stats: () => ({
      sandboxes: { starting: 0, stem: 0, loading: 0, idle: 0, frozen: 0, busy: 0, gone: 0 },
      waiting: 0,
      running: 0,
      memoryBytes: 0,
    }),
    drain: async () => {},
    close: async () => {},
  } satisfies Omit<Worker, 'invoke'>
  const worker: FakeWorker = {
    ...nothing,
    calls,
    handle,
    invoke: (request, sink) => invokeFake(worker, request, sink),
  }
  return worker
}

function invokeFake(worker: FakeWorker, request: InvocationRequest, sink: InvocationSink): Invocation {
  const controller = new AbortController()
  const resumed = { wake: () => {} }
  const done = (async (): Promise<InvocationRecord> => {
    const startedAt = new Date().toISOString()
    const body = await readBody(request.body)
    if (body === null) return fail(request, sink, bodyAborted, startedAt)
    const call = { request, body, signal: controller.signal }
    worker.calls.push(call)
    const answer = await Promise.race([Promise.resolve(worker.handle(call)), cancelled(controller.signal)])
    if ('failure' in answer) return fail(request, sink, answer.failure, startedAt)
    const phases = { queueMs: 0, startMs: 0, thawMs: 0, initMs: 0, runMs: 1 }
    sink.head({ status: answer.status, headers: answer.headers ?? [], start: 'warm', phases })
    const bytes = Buffer.from(answer.body ?? '')
    for (let offset = 0; offset < bytes.length; offset += 32 * 1024) {
      const room = new Promise<void>((resolve) => {
        resumed.wake = resolve
      })
      if (!sink.data(bytes.subarray(offset, offset + 32 * 1024))) await room
      if (controller.signal.aborted) return fail(request, sink, cancelledFailure, startedAt)
    }
    sink.end(null)
    return record(request, 'succeeded', answer.status, null, startedAt)
  })()
  return { id: request.id, resume: () => resumed.wake(), abort: () => controller.abort(), done }
}

const cancelledFailure: InvocationFailure = { code: 'CANCELLED', component: 'worker', message: 'cancelled' }
const bodyAborted: InvocationFailure = { code: 'BODY_ABORTED', component: 'worker', message: 'the body ended early' }

function cancelled(signal: AbortSignal): Promise<FakeAnswer> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve({ failure: cancelledFailure }), { once: true })
  })
}

function fail(request: InvocationRequest, sink: InvocationSink, failure: InvocationFailure, startedAt: string) {
  sink.failed(failure, null, null)
  return record(request, 'failed', null, failure, startedAt)
}

function record(
  request: InvocationRequest,
  state: InvocationRecord['state'],
  status: number | null,
  error: InvocationFailure | null,
  startedAt: string,
): InvocationRecord {
  return {
    id: request.id,
    namespace: request.version.namespace,
    function: request.version.name,
    version: request.version.version,
    state,
    attempt: request.attempt,
    start: 'warm',
    status,
    error,
    createdAt: startedAt,
    startedAt,
    endedAt: new Date().toISOString(),
    queueMs: 0,
    startMs: 0,
    thawMs: 0,
    initMs: 0,
    runMs: 1,
    limits: request.version.config.limits,
    metering: null,
  }
}

async function readBody(body: Buffer | Readable | null): Promise<Buffer | null> {
  if (body === null) return Buffer.alloc(0)
  if (Buffer.isBuffer(body)) return body
  const chunks: Buffer[] = []
  try {
    for await (const chunk of body) chunks.push(chunk as Buffer)
  } catch {
    return null
  }
  return Buffer.concat(chunks)
}
