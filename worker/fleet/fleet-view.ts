// What all workers together have: each is asked, those that answer in time count.
import { type InvocationRecord, type RecordQuery, type SandboxAction, type SandboxInfo, WorkerError } from '../api.ts'
import type { Fleet, FleetMember, FleetSandbox } from './api.ts'
import type { Asks } from './asks.ts'
import type { Members } from './members.ts'
import type { Questions } from './questions.ts'

const ANSWER_MS = 3_000

export class FleetView implements Fleet {
  readonly #members: Members
  readonly #asks: Asks

  constructor(members: Members, asks: Asks) {
    this.#members = members
    this.#asks = asks
    members.onLook(() => asks.dropAllBut((id) => members.get(id) !== undefined))
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

  async records(query: RecordQuery): Promise<InvocationRecord[]> {
    const found = (await this.askAll('records', { query })).flatMap(({ answer }) => answer)
    return found.sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, query.limit)
  }
}
