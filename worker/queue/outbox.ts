// Ends whose follow-ups are not made yet, as the lane offers them to the deliverer.
import type { Outbox } from './api.ts'
import type { InvocationStore } from './invocation-store.ts'

/** `asking` turns trouble with Redis into QueueErrors. */
export function createOutbox(
  store: InvocationStore,
  asking: <T>(ask: () => Promise<T>) => Promise<T>,
  onNews: Outbox['onNews'],
): Outbox {
  return {
    list: (limit) => asking(() => store.outbox(limit)),
    done: (id) => asking(() => store.leaveOutbox(id)),
    onNews,
  }
}
