// Calls between functions of one network on a worker apart: they stay on its machine and go straight to its sandboxes, by the same
// listener that `fn up` has for them.
import { randomBytes } from 'node:crypto'
import { TokenRates } from '../../gateway/auth/rate.ts'
import { TokenCheck } from '../../gateway/auth/token.ts'
import { Invoker } from '../../gateway/invocation/invoker.ts'
import { UploadWatch } from '../../gateway/invocation/upload-watch.ts'
import { PeerListener } from '../../gateway/peers/peer-listener.ts'
import type { Runtime } from '../../runtime/api.ts'
import type { Worker } from '../../worker/api.ts'
import type { DurableLane } from '../../worker/queue/api.ts'
import { QuotaRate } from '../../worker/registry/quota-rates.ts'
import type { Quotas } from '../../worker/registry/quotas.ts'
import { systemClock } from './clock.ts'
import type { ProcessBase, Registry } from './process-parts.ts'

/** For the answers of calls that run when the worker stops. */
const GRACE_MS = 500

export interface PeersParts {
  readonly runtime: Runtime
  readonly worker: Worker
  readonly registry: Registry
  readonly lane: DurableLane
  readonly quotas: Quotas
}

/** Nothing where this host offers no networks. */
export async function openPeers({ steps, logger }: ProcessBase, parts: PeersParts): Promise<void> {
  const { runtime, worker, registry, lane, quotas } = parts
  const { networks } = runtime
  if (networks === undefined) return
  const clock = systemClock
  const watch = new UploadWatch(clock)
  const invoker = new Invoker({
    worker,
    registry,
    lane,
    clock,
    logger,
    watch,
    // Functions bring no tokens: who calls is told by the address.
    tokens: new TokenCheck(randomBytes(32).toString('hex'), () => null),
    rates: new TokenRates(clock),
    requests: new QuotaRate(quotas, 'requestsPerSecond', clock),
    behindProxy: false,
    tellsFaults: true,
    secure: false,
    checkLimits: (asked) => runtime.checkLimits(asked),
  })
  await steps.run(
    'calls between functions',
    () => new PeerListener({ networks, registry, worker, invoker, logger }),
    async (made) => {
      await made.close(GRACE_MS)
      invoker.close()
      watch.close()
    },
  )
}
