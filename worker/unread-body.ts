// Whether a request's body can still be sent from its start. Pure.
import type { InvocationRequest } from './api.ts'

/** A body that can be sent from its start once more. */
export function isUnread(body: InvocationRequest['body']): boolean {
  return body === null || Buffer.isBuffer(body) || !body.readableDidRead
}
