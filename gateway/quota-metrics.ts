// Owns the metric of what quotas refused, put off or cut. Series are bounded: namespaces beyond the first 1,000 are counted as `_other`.
import { Counter, type Registry } from 'prom-client'
import type { Quotas } from '../worker/registry/quotas.ts'

export function registerQuotaMetrics(registry: Registry, quotas: Quotas): void {
  new Counter({
    name: 'thaw_quota_refused_total',
    help: 'What a namespace’s quota refused, put off or cut, by quota',
    labelNames: ['quota', 'namespace'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { namespace, quota, count } of quotas.refusals()) this.inc({ quota, namespace }, count)
    },
  })
}
