// The worker of a platform that has others beside it on its Redis: calls run here, what is asked of past ones is asked of all.
import type { LogLine, Worker } from '../api.ts'
import type { FleetView } from './fleet-view.ts'

const LINES_MAX = 10_000

/** `own`, but for records and logs, which may be another's. */
export function jointWorker(own: Worker, fleet: Pick<FleetView, 'askAll'>): Worker {
  return {
    invoke: (request, sink) => own.invoke(request, sink),
    verify: (version) => own.verify(version),
    retire: (fate, of) => own.retire(fate, of),
    renew: (which) => own.renew(which),
    callsIn: (sandbox) => own.callsIn?.(sandbox) ?? [],
    sandboxes: (namespace) => own.sandboxes(namespace),
    coldReason: (version) => own.coldReason(version),
    act: (sandbox, action) => own.act(sandbox, action),
    records: (query) => own.records(query),
    subscribe: (listener) => own.subscribe(listener),
    stats: () => own.stats(),
    drain: (ms) => own.drain(ms),
    close: () => own.close(),
    async record(id) {
      const known = await own.record(id)
      if (known !== null) return known
      const found = await fleet.askAll('record', { id })
      return found.map(({ answer }) => answer).find((record) => record !== null) ?? null
    },
    async logs(query) {
      const found = await fleet.askAll('logs', {
        query: { ...query, tail: Math.min(query.tail ?? LINES_MAX, LINES_MAX) },
      })
      // Alone it has all of them, however many.
      if (found.length < 2) return await own.logs(query)
      return joinLines(
        found.map(({ answer }) => answer),
        query.tail,
      )
    },
  }
}

/** Lines of several workers in the order of their times; at most the last `tail`. */
export function joinLines(all: readonly (readonly LogLine[])[], tail = LINES_MAX): LogLine[] {
  const lines = all.flat()
  if (all.length > 1) lines.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
  return tail === 0 ? [] : lines.slice(-Math.min(tail, LINES_MAX))
}
