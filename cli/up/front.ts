// What clients meet of `fn up` and `fn gateway`: the listener, and what the platform does by itself on their behalf (schedules,
// callbacks). What is behind it is given.
import { createGateway } from '../../gateway/gateway.ts'
import type { GatewayOptions } from '../../gateway/options.ts'
import { createCallbacks } from '../../worker/queue/callbacks/deliverer.ts'
import { createSchedules } from '../../worker/queue/schedules/scheduler.ts'
import { parseAllowList } from '../../worker/registry/destinations.ts'
import type { RedisStore } from '../../worker/store/connect.ts'
import type { ConfigRow } from '../config.ts'
import { maxConnections } from './capacity.ts'
import { systemClock } from './clock.ts'
import { type ProcessBase, packageVersion } from './process-parts.ts'
import { restartsOf, restartWarning } from './restarted.ts'
import { TlsRenewal } from './tls-renewal.ts'
import { ensureToken } from './token.ts'

/** What differs between the two; the rest of `GatewayOptions` follows from the configuration. */
export interface FrontParts
  extends Pick<
    GatewayOptions,
    | 'worker'
    | 'deployer'
    | 'registry'
    | 'runtimeHost'
    | 'volumes'
    | 'networks'
    | 'sandboxNetworks'
    | 'checkLimits'
    | 'fleet'
    | 'bodyLimits'
  > {
  readonly redis: RedisStore
  readonly lane: NonNullable<GatewayOptions['lane']>
  readonly secrets: NonNullable<GatewayOptions['secrets']>
  readonly tokens: NonNullable<GatewayOptions['tokens']>
  readonly quotas: NonNullable<GatewayOptions['quotas']>
  /** What `/v1/config` shows. */
  readonly settings: readonly ConfigRow[]
  readonly tls: Pick<GatewayOptions, 'tls'>
  /** What `/readyz` gives as its reason; null: ready. */
  readonly trouble: () => string | null
}

export interface Front {
  readonly url: string
  readonly token: string
  /** Reads the certificate's files anew; null: the listener speaks plain HTTP. */
  readonly reloadTls: (() => void) | null
  /** Begins to fire schedules and to tell ends. */
  start(): void
  close(graceMs: number): Promise<void>
}

export async function openFront({ config, steps, logger, loop }: ProcessBase, parts: FrontParts): Promise<Front> {
  const { redis, lane, registry, quotas, settings, tls, trouble, ...given } = parts
  const { stateDir } = config
  const clock = systemClock
  const schedules = await steps.run(
    'schedules',
    () => createSchedules({ redis, lane, registry, clock, logger, quotas }),
    (made) => made.close(),
  )
  const callbacks = await steps.run(
    'callbacks',
    () =>
      createCallbacks({
        redis,
        lane,
        registry,
        clock,
        logger,
        allow: parseAllowList(config.callbackAllow),
        atOnce: (namespace) => quotas.quotaOf(namespace, 'callbacks'),
        refused: (namespace) => quotas.countRefusal(namespace, 'callbacks'),
      }),
    (made) => made.close(),
  )
  quotas.report('callbacks', (namespace) => callbacks.underWay(namespace))
  const token = config.token ?? ensureToken(stateDir)
  const gateway = await steps.run(
    'gateway',
    () =>
      createGateway({
        ...given,
        quotas,
        lane,
        registry,
        schedules,
        callbacks,
        token,
        listen: config.listen,
        hosts: config.hosts,
        stateDir,
        audit: config.audit,
        logger,
        clock,
        loop,
        version: packageVersion(),
        config: settings,
        ready: () => {
          const reason = trouble()
          const warning = restartWarning(restartsOf(process.env))
          const more = warning === null ? {} : { warning }
          return reason === null ? { ready: true, ...more } : { ready: false, reason, ...more }
        },
        behindProxy: config.behindProxy,
        tellsFaults: config.tellsFaults,
        maxConnections: maxConnections(),
        ...tls,
      }),
    (made) => made.close(0),
  )
  const renewal =
    config.tls === null ? null : new TlsRenewal(config.tls, clock, logger, (fresh) => gateway.renewTls(fresh))
  await steps.run(
    'certificate',
    () => renewal,
    (made) => made?.close(),
  )
  return {
    url: gateway.url,
    token,
    reloadTls: renewal === null ? null : () => renewal.reload(),
    start() {
      schedules.start()
      callbacks.start()
    },
    close: (graceMs) => gateway.close(graceMs),
  }
}
