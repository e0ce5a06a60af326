// What all workers together have: each is asked, those that answer in time count.
import type { Clock } from '../../runtime/api.ts'
import {
  type InvocationRecord,
  type PlatformEvent,
  type RecordQuery,
  type SandboxAction,
  type SandboxInfo,
  type Worker,
  WorkerError,
} from '../api.ts'
import type { RedisStore } from '../store/connect.ts'
import type { Fleet, FleetMember, FleetSandbox } from './api.ts'
import type { Asks } from './asks.ts'
import { ASK_AGAIN_MS, listenToEvents } from './event-relay.ts'
import type { Members } from './members.ts'
import type { Questions } from './questions.ts'

const ANSWER_MS = 3_000

export interface FleetViewParts {
  readonly members: Members
  readonly asks: Asks
  readonly redis: RedisStore
  readonly clock: Clock
}

export class FleetView implements Fleet {
  readonly #members: Members
  readonly #asks: Asks
  readonly #redis: RedisStore
  readonly #clock: Clock
  #own: Worker | null = null

  constructor({ members, asks, redis, clock }: FleetViewParts) {
    this.#members = members
    this.#asks = asks
    this.#redis = redis
    this.#clock = clock
    members.onLook(() => asks.dropAllBut((id) => members.get(id) !== undefined))
  }

  /** Of this process. */
  include(worker: Worker): void {
    this.#own = worker
  }

  members(): readonly FleetMember[] {
    return this.#members.list()
  }

  /** The least busy first. */
  workers(): readonly FleetMember[] {
    return this.#members.workers()
  }

  /** Rejects with AskError, StoreError, or WorkerError of the worker's. */
  ask<Q extends keyof Questions>(
    to: string,
    question: Q,
    args: Questions[Q]['args'],
    deadlineMs = ANSWER_MS,
  ): Promise<Questions[Q]['answer']> {
    return this.#asks.ask(to, question, args, deadlineMs)
  }

  /** Never rejects: who does not answer is left out. */
  async askAll<Q extends keyof Questions>(
    question: Q,
    args: Questions[Q]['args'],
  ): Promise<{ readonly member: FleetMember; readonly answer: Questions[Q]['answer'] }[]> {
    // Those that drain still have sandboxes, logs and records.
    const members = this.#members.list().filter(({ machine }) => machine !== null)
    const answers = await Promise.all(
      members.map(async (member) => {
        try {
          return { member, answer: await this.ask(member.id, question, args) }
        } catch {
          return null
        }
      }),
    )
    return answers.filter((answer) => answer !== null)
  }

  async sandboxes(namespace: string | null): Promise<FleetSandbox[]> {
    const found = await this.askAll('sandboxes', { namespace })
    return found.flatMap(({ member, answer }) =>
      answer.map((sandbox) => ({ ...sandbox, worker: member.id, hostName: member.hostName })),
    )
  }

  async act(sandbox: string, action: SandboxAction): Promise<SandboxInfo> {
    const owner = (await this.sandboxes(null)).find(({ id }) => id === sandbox)
    if (owner === undefined) throw new WorkerError('SANDBOX_NOT_FOUND', `no sandbox ${sandbox.slice(0, 80)}`)
    return await this.ask(owner.worker, 'act', { sandbox, action })
  }

  async follow(listener: (event: PlatformEvent) => void): Promise<() => void> {
    const leave = [listenToEvents(this.#redis, this.#members.self, listener)]
    if (this.#own !== null) leave.push(this.#own.subscribe(listener))
    let cancel: () => void = () => {}
    const again = (): void => {
      cancel = this.#clock.after(ASK_AGAIN_MS, () => {
        again()
        void this.askAll('tell', null)
      })
    }
    await this.askAll('tell', null)
    again()
    return () => {
      cancel()
      for (const stop of leave) stop()
    }
  }

  async records(query: RecordQuery): Promise<InvocationRecord[]> {
    const found = (await this.askAll('records', { query })).flatMap(({ answer }) => answer)
    return found.sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, query.limit)
  }
}
