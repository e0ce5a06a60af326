// Questions between processes of the fleet, and their answers: two channels each, nothing kept. A question whose process leaves
// or stays silent fails; whoever asked decides whether to ask another.
//
//   {thaw}:ask:<id>      channel: questions to that process
//   {thaw}:answer:<id>   channel: answers to what that process asked
import { randomUUID } from 'node:crypto'
import type { Clock, Logger } from '../../runtime/api.ts'
import { WorkerError, type WorkerErrorCode } from '../api.ts'
import type { RedisStore } from '../store/connect.ts'

export type AskErrorCode =
  /** nobody has that id, or it left before it answered */
  | 'MEMBER_AWAY'
  /** no answer in time */
  | 'MEMBER_SILENT'

export class AskError extends Error {
  readonly code: AskErrorCode
  constructor(code: AskErrorCode, message: string) {
    super(message)
    this.name = 'AskError'
    this.code = code
  }
}

interface Question {
  readonly ask: string
  readonly from: string
  readonly method: string
  readonly args: unknown
}
interface Answer {
  readonly ask: string
  readonly value?: unknown
  readonly error?: { readonly code: string; readonly message: string; readonly stack: string | null }
}
interface Pending {
  readonly to: string
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

export interface AsksOptions {
  readonly redis: RedisStore
  readonly self: string
  readonly clock: Clock
  readonly logger: Logger
}

/** Longest answer: what a subscriber of Redis may lag behind is bounded. */
const MOST_ANSWER_BYTES = 4 * 1024 ** 2

export class Asks {
  readonly #options: AsksOptions
  readonly #pending = new Map<string, Pending>()
  readonly #leave: (() => void)[] = []
  #own: ((method: string, args: unknown) => Promise<unknown>) | null = null

  constructor(options: AsksOptions) {
    this.#options = options
    this.#leave.push(options.redis.subscribe(`{thaw}:answer:${options.self}`, (text) => this.#answered(text)))
  }

  /** Answers what others ask; what `answer` rejects with goes back to them. */
  serve(answer: (method: string, args: unknown) => Promise<unknown>): void {
    const { redis, self } = this.#options
    this.#own = answer
    this.#leave.push(redis.subscribe(`{thaw}:ask:${self}`, (text) => void this.#answer(text, answer)))
  }

  /** Rejects with AskError, StoreError, or what the other rejected with (as WorkerError). */
  async ask<T>(to: string, method: string, args: unknown, deadlineMs: number): Promise<T> {
    const { redis, self, clock } = this.#options
    // Asked of itself while Redis is away, too.
    if (to === self && this.#own !== null) return (await this.#own(method, args)) as T
    const question: Question = { ask: randomUUID(), from: self, method, args }
    const answered = new Promise<unknown>((resolve, reject) => this.#pending.set(question.ask, { to, resolve, reject }))
    const cancel = clock.after(deadlineMs, () =>
      this.#end(question.ask, new AskError('MEMBER_SILENT', `worker ${to} did not answer within ${deadlineMs} ms`)),
    )
    answered.catch(() => {})
    try {
      const heard = await redis.command('PUBLISH', `{thaw}:ask:${to}`, JSON.stringify(question))
      if (heard === 0) throw new AskError('MEMBER_AWAY', `worker ${to} is away`)
      return (await answered) as T
    } finally {
      cancel()
      this.#pending.delete(question.ask)
    }
  }

  /** Questions to processes that are not there any more have no answer. */
  dropAllBut(isThere: (id: string) => boolean): void {
    for (const [ask, { to }] of this.#pending)
      if (!isThere(to)) this.#end(ask, new AskError('MEMBER_AWAY', `worker ${to} left before it answered`))
  }

  close(): void {
    for (const leave of this.#leave.splice(0)) leave()
    for (const ask of [...this.#pending.keys()]) this.#end(ask, new AskError('MEMBER_AWAY', 'this process is stopping'))
  }

  #end(ask: string, error: Error): void {
    this.#pending.get(ask)?.reject(error)
    this.#pending.delete(ask)
  }

  /** Whoever may write to Redis may send anything: what is no answer is dropped, and whoever waits for one goes on waiting. */
  #answered(text: string): void {
    const answer = answerIn(text)
    if (answer === null) {
      this.#options.logger.debug({ bytes: text.length }, 'what came for an answer is none')
      return
    }
    const { ask, value, error } = answer
    const pending = this.#pending.get(ask)
    if (pending === undefined) return
    this.#pending.delete(ask)
    if (error === undefined) pending.resolve(value)
    else pending.reject(errorOf(error))
  }

  async #answer(text: string, answer: (method: string, args: unknown) => Promise<unknown>): Promise<void> {
    const { redis, logger } = this.#options
    try {
      const { ask, from, method, args } = JSON.parse(text) as Question
      let reply: string
      try {
        reply = JSON.stringify({ ask, value: (await answer(method, args)) ?? null } satisfies Answer)
        if (Buffer.byteLength(reply) > MOST_ANSWER_BYTES) throw new Error('the answer is too large; ask for less')
      } catch (error) {
        reply = JSON.stringify({ ask, error: dataOf(error) } satisfies Answer)
      }
      await redis.command('PUBLISH', `{thaw}:answer:${from}`, reply)
    } catch (error) {
      logger.debug({ reason: (error as Error).message }, 'a question could not be answered')
    }
  }
}

/** null: it is none. */
function answerIn(text: string): Answer | null {
  try {
    const { ask, value, error } = JSON.parse(text) as Record<string, unknown>
    if (typeof ask !== 'string') return null
    if (error === undefined) return { ask, value }
    const { code, message, stack } = error as Record<string, unknown>
    if (typeof code !== 'string' || typeof message !== 'string') return null
    return { ask, error: { code, message, stack: typeof stack === 'string' ? stack : null } }
  } catch {
    return null
  }
}

function dataOf(error: unknown): NonNullable<Answer['error']> {
  const { code, message, functionStack } = error as { code?: unknown; message?: unknown; functionStack?: unknown }
  return {
    code: typeof code === 'string' ? code : 'SANDBOX_CREATE_FAILED',
    message: String(message ?? error),
    stack: typeof functionStack === 'string' ? functionStack : null,
  }
}

function errorOf({ code, message, stack }: NonNullable<Answer['error']>): Error {
  return new WorkerError(code as WorkerErrorCode, message, stack === null ? {} : { functionStack: stack })
}
