// A durable lane in memory for tests of the gateway. It keeps to worker/queue/api.ts and runs nothing.
import type { Readable } from 'node:stream'
import type { InvocationRecord } from '../../worker/api.ts'
import {
  type DeadLetter,
  type DeadLetters,
  type DurableLane,
  type Outbox,
  QueueError,
  type QueueState,
  type StoredResult,
  type Submission,
} from '../../worker/queue/api.ts'
import { sampleRecord } from './samples.ts'

export class FakeLane implements DurableLane {
  readonly submissions: (Submission & { readonly bytes: Buffer })[] = []
  readonly kept = new Map<string, { record: InvocationRecord; result: StoredResult | null; pending?: boolean }>()
  queued = 0
  up = true
  /** What a submitted call becomes at once, if anything. */
  onSubmit: (submission: Submission) => void = () => {}

  async submit(submission: Submission) {
    if (!this.up) throw new QueueError('QUEUE_UNAVAILABLE', 'Redis is away', { retryAfterS: 2 })
    const bytes = await bytesOf(submission.body)
    this.submissions.push({ ...submission, bytes })
    this.onSubmit(submission)
    return { id: submission.id, duplicate: false, durability: 'disk' as const }
  }
  mended() {
    return { requeue: 0, end: 0, drop: 0, record: 0, due: 0 }
  }
  full(): string | null {
    return null
  }
  async record(id: string): Promise<InvocationRecord | null> {
    return this.kept.get(id)?.record ?? null
  }
  async records() {
    return { records: [...this.kept.values()].map(({ record }) => record), next: null }
  }
  async result(id: string) {
    const kept = this.kept.get(id)
    if (!kept) throw new QueueError('INVOCATION_NOT_FOUND', `no invocation ${id}`)
    return { pending: kept.pending ?? false, record: kept.record, result: kept.result }
  }
  async leave(): Promise<void> {}

  async forget(): Promise<void> {}

  async cancel(id: string): Promise<InvocationRecord> {
    const kept = this.kept.get(id)
    if (!kept) throw new QueueError('INVOCATION_NOT_FOUND', `no invocation ${id}`)
    if (kept.record.state !== 'queued') throw new QueueError('NOT_CANCELLABLE', 'it already ended')
    return { ...kept.record, state: 'cancelled' }
  }
  readonly letters: DeadLetter[] = []
  readonly paused = new Set<string>()
  readonly deadLetters: DeadLetters = {
    list: async (namespace, name, { limit, after }) =>
      this.#lettersOf(namespace, name)
        .filter((letter) => after === undefined || letter.id < after)
        .slice(0, limit),
    show: async (namespace, name, id) => this.#letter(namespace, name, id),
    redrive: async (namespace, name, id) => {
      this.#drop(this.#letter(namespace, name, id))
      return sampleRecord(id, { namespace, function: name, state: 'queued' })
    },
    redriveAll: async (namespace, name) => this.#lettersOf(namespace, name).map((letter) => this.#drop(letter)).length,
    purge: async (namespace, name, id) => {
      const gone = id === undefined ? this.#lettersOf(namespace, name) : [this.#letter(namespace, name, id)]
      return gone.map((letter) => this.#drop(letter)).length
    },
  }
  readonly outbox: Outbox = { list: async () => [], done: async () => {}, onNews: () => () => {} }
  #lettersOf(namespace: string, name: string): DeadLetter[] {
    const own = this.letters.filter((letter) => letter.namespace === namespace && letter.function === name)
    return own.sort((a, b) => (a.id < b.id ? 1 : -1))
  }
  #letter(namespace: string, name: string, id: string): DeadLetter {
    const letter = this.#lettersOf(namespace, name).find((candidate) => candidate.id === id)
    if (!letter) throw new QueueError('DEAD_LETTER_NOT_FOUND', `no dead letter ${id}`)
    return letter
  }
  #drop(letter: DeadLetter): void {
    this.letters.splice(this.letters.indexOf(letter), 1)
  }
  async pauseFunction(namespace: string, name: string, paused: boolean): Promise<void> {
    if (paused) this.paused.add(`${namespace}/${name}`)
    else this.paused.delete(`${namespace}/${name}`)
  }
  async queueState(namespace: string, name: string): Promise<QueueState> {
    const deadLetters = this.#lettersOf(namespace, name).length
    return { waiting: this.queued, delayed: 0, active: 0, paused: this.paused.has(`${namespace}/${name}`), deadLetters }
  }
  onFinished(): () => void {
    return () => {}
  }
  async backlog(): Promise<number> {
    return this.queued
  }
  available(): boolean {
    return this.up
  }
  refusal(): null {
    return null
  }
  async start(): Promise<void> {}
  async tidy(): Promise<void> {}
  async drain(): Promise<void> {}
  async close(): Promise<void> {}
}

async function bytesOf(body: Buffer | Readable | null): Promise<Buffer> {
  if (body === null) return Buffer.alloc(0)
  if (Buffer.isBuffer(body)) return body
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
