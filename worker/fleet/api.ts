// What processes that share a Redis know of each other: who is there, what each can do, and what may be asked of it.
// Plain data: it crosses Redis as JSON.
import type { HostReport } from '../../runtime/api.ts'
import type { InvocationRecord, PlatformEvent, RecordQuery, SandboxAction, SandboxInfo, SlotState } from '../api.ts'

/** `platform` is `fn up`: both in one. */
export type FleetRole = 'gateway' | 'worker' | 'platform'

/** A process of the fleet. */
export interface FleetMember {
  /** The id of its state directory: the same after a restart. */
  readonly id: string
  readonly role: FleetRole
  /** Of its machine. */
  readonly hostName: string
  readonly pid: number
  /** Of this software. */
  readonly version: string
  /** RFC 3339 UTC. */
  readonly startedAt: string
  /** Where it gives and takes files (`http://host:port`); null: it keeps none. */
  readonly filesUrl: string | null
  /** Tells which key it encrypts secrets with. */
  readonly secretKeyId: string
  /** What it runs functions on; null for a gateway. */
  readonly machine: HostReport | null
  /** null for a gateway. */
  readonly load: MemberLoad | null
}

/** Of the last beat. */
export interface MemberLoad {
  readonly sandboxes: Readonly<Record<SlotState, number>>
  readonly waiting: number
  readonly running: number
  readonly memoryBytes: number
  /** It takes no more calls. */
  readonly draining: boolean
}

/** A sandbox and whose it is. */
export interface FleetSandbox extends SandboxInfo {
  readonly worker: string
  readonly hostName: string
}

/** What a gateway without sandboxes of its own asks of all workers. */
export interface Fleet {
  /** As of the last beat, this process included; sorted by id. */
  members(): readonly FleetMember[]
  /** Of all workers that answer in time. */
  sandboxes(namespace: string | null): Promise<FleetSandbox[]>
  /** Throws WorkerError SANDBOX_NOT_FOUND | SANDBOX_STATE. */
  act(sandboxId: string, action: SandboxAction): Promise<SandboxInfo>
  /** What happens on all workers from now on. The returned function stops. */
  follow(listener: (event: PlatformEvent) => void): Promise<() => void>
  /** Synchronous calls the workers remember, newest first. */
  records(query: RecordQuery): Promise<InvocationRecord[]>
}
