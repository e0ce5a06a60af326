// How much of a namespace's output is kept a second: its quota `logBytesPerSecond`. What is above is cut, and counted by line.
import { join } from 'node:path'
import type { Clock, Logger } from '../../runtime/api.ts'
import { QuotaRate } from '../registry/quota-rates.ts'
import type { Quotas } from '../registry/quotas.ts'
import { LogStore } from './log-store.ts'

/** Whether so many bytes more may be kept now. Without quotas: always. */
export function logRate(quotas: Quotas | undefined, clock: Clock): (namespace: string, bytes: number) => boolean {
  if (quotas === undefined) return () => true
  const rate = new QuotaRate(quotas, 'logBytesPerSecond', clock)
  return (namespace, bytes) => {
    // A line longer than a second's worth costs all of that.
    const most = quotas.quotaOf(namespace, 'logBytesPerSecond') ?? bytes
    if (rate.take(namespace, Math.min(bytes, most)) === 0) return true
    quotas.countRefusal(namespace, 'logBytesPerSecond')
    return false
  }
}

/** The logs of a state directory, with these rates. */
export function openLogs(stateDir: string, quotas: Quotas | undefined, clock: Clock, logger: Logger): LogStore {
  return new LogStore({ directory: join(stateDir, 'logs'), clock, logger, admit: logRate(quotas, clock) })
}
