// What the lane's refusals are called: trouble with Redis, and a platform that stops.

import { QuotaExceeded } from '../registry/quota-exceeded.ts'
import { refusalWordOf } from '../store/errors.ts'
import { QueueError } from './api.ts'

const RETRY_AFTER_S = 2

/** Trouble with Redis as QUEUE_UNAVAILABLE, or QUEUE_FULL. */
export function unavailable(cause: unknown): QueueError {
  if (refusalWordOf(cause) === 'OOM') {
    const full = 'Redis is full and takes nothing more (maxmemory); nothing was changed'
    return new QueueError('QUEUE_FULL', full, { cause, retryAfterS: RETRY_AFTER_S })
  }
  const message = `the queue cannot be reached: ${(cause as Error).message}`
  return new QueueError('QUEUE_UNAVAILABLE', message, { cause, retryAfterS: RETRY_AFTER_S })
}

export function stopping(): QueueError {
  return new QueueError('DRAINING', 'the platform is stopping')
}

/** Runs it; an error other than QueueError and QuotaExceeded becomes QUEUE_UNAVAILABLE, or QUEUE_FULL. */
export async function asking<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    throw error instanceof QueueError || error instanceof QuotaExceeded ? error : unavailable(error)
  }
}
