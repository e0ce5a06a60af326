// The tracing seam: what the worker tells about an invocation when tracing is on. No span type of any library comes in here.
import type { InvocationRecord, InvocationRequest } from './api.ts'

/** One traced invocation. */
export interface InvocationTrace {
  /** W3C `traceparent` the function is to see, naming the invocation's own span. */
  readonly traceparent: string
  /** Ends the trace. The phases of the record (queue, start, thaw, init, run, in this order from `createdAt`) become its
   *  children. Must not throw. */
  end(record: InvocationRecord): void
}

/** An asynchronous call on its way to the disk. */
export interface AcceptTrace {
  /** W3C `traceparent` that goes through the queue: every attempt continues it. */
  readonly traceparent: string
  /** It was accepted, or refused. Must not throw. */
  end(accepted: boolean): void
}

/** Given to the worker and the durable lane only when tracing is on. */
export interface Tracing {
  /** Called once per attempt, at its arrival. null: not sampled, and no span object is made. Must not throw. */
  startInvocation(request: InvocationRequest): InvocationTrace | null
  /** Called once per asynchronous call, at its arrival. null: not sampled. Must not throw. */
  startAccept(
    call: Pick<InvocationRequest, 'id' | 'version' | 'method' | 'traceparent' | 'acceptedAtMs'>,
  ): AcceptTrace | null
}

/** The header list with `traceparent` replaced or added; the given list stays as it is. */
export function withTraceparent(headers: readonly string[], traceparent: string): string[] {
  const changed: string[] = []
  for (let index = 0; index + 1 < headers.length; index += 2) {
    if (headers[index]!.toLowerCase() !== 'traceparent') changed.push(headers[index]!, headers[index + 1]!)
  }
  changed.push('traceparent', traceparent)
  return changed
}
