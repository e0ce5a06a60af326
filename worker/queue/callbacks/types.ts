// What callbacks and chains show of themselves. Data and an interface; nothing runs here.
import type { FollowUpKind } from './plan.ts'

/** One follow-up of one call; times RFC 3339 UTC. */
export interface Delivery {
  /** Also the `webhook-id` of a callback, and the id of the call a function destination got. */
  readonly id: string
  /** The call whose end it tells. */
  readonly invocation: string
  readonly kind: FollowUpKind
  /** A function or a URL. */
  readonly destination: string
  readonly state: 'pending' | 'delivered' | 'failed'
  readonly tries: number
  /** What the receiver last answered; null for none. */
  readonly status: number | null
  /** Why the last try failed. */
  readonly error: string | null
  readonly createdAt: string
  /** Of the next try; null when there is none. */
  readonly nextAt: string | null
  readonly endedAt: string | null
}

/** The secret that callbacks of a namespace are signed with. */
export interface WebhookSecret {
  /** `whsec_…` (Standard Webhooks). */
  readonly secret: string
  /** The one before, which signs too until then; null for none. */
  readonly previous: string | null
  readonly previousUntil: string | null
}

/** Tells the ends of calls: starts the next function of a chain, sends signed callbacks, tries again. All methods throw QueueError
 *  QUEUE_UNAVAILABLE while Redis is away. */
export interface Callbacks {
  /** Follow-ups of a call, kept a day after their end; oldest first. */
  deliveries(invocation: string): Promise<Delivery[]>
  /** Made at the first asking. */
  secret(namespace: string): Promise<WebhookSecret>
  /** Makes a new one; the one before signs beside it for a day. */
  rotateSecret(namespace: string): Promise<WebhookSecret>
  /** Why nothing will ever be sent there, as far as the address in it tells; null: nothing speaks against it. A name is looked
   *  up when it is time. */
  refusal(url: URL): string | null
  /** Follow-ups of a namespace that this process tries now. */
  underWay(namespace: string): number
  start(): void
  /** Ends tries that are running (they are made again) and waits for them. Idempotent. */
  close(): Promise<void>
}
