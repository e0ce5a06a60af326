// What a sandbox answers that has stopped: no metering, calls that were not sent, and why the watchdog ended it. Pure.
import type { CallSink, Fault, Metering, SandboxExchange } from '../api.ts'

/** Why the watchdog killed it. */
export function stalledFault(stoodMs: number): Fault {
  const seconds = (stoodMs / 1000).toFixed(1)
  const message = `the platform stood for ${seconds} s over what this sandbox sent, and killed it`
  return { code: 'STALLED', message, data: { stoodMs: Math.round(stoodMs) } }
}

/** A call to a sandbox that has stopped: nothing of it was written. */
export function refuseCall(sink: CallSink, fault: Fault): SandboxExchange {
  queueMicrotask(() => {
    sink.failed({ code: 'NOT_SENT', message: fault.message })
    sink.idle(false)
  })
  return { resume: () => {}, cancel: () => {} }
}

/** Metering of a sandbox whose counters are gone. */
export const NO_METERING: Metering = Object.freeze({
  exact: false,
  cpuUserUs: 0,
  cpuSystemUs: 0,
  throttledUs: 0,
  memoryPeakBytes: 0,
  memoryBytes: 0,
  swapPeakBytes: null,
  ioReadBytes: 0,
  ioWriteBytes: 0,
  ioReadOps: 0,
  ioWriteOps: 0,
  netRxBytes: 0,
  netTxBytes: 0,
  oomKills: 0,
  pageFaults: 0,
  tasksPeak: null,
  freezeUs: 0,
  thawUs: 0,
  idleCpuUs: 0,
})
