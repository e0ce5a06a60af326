// What a worker answers when others ask: the questions by name with their arguments, and who answers each.
import type {
  FunctionVersion,
  InvocationRecord,
  LogLine,
  LogQuery,
  RecordQuery,
  SandboxAction,
  SandboxInfo,
  Worker,
} from '../api.ts'

/** Question → arguments and answer. */
export interface Questions {
  verify: { args: { version: FunctionVersion }; answer: null }
  coldReason: { args: { version: FunctionVersion }; answer: string | null }
  sandboxes: { args: { namespace: string | null }; answer: SandboxInfo[] }
  act: { args: { sandbox: string; action: SandboxAction }; answer: SandboxInfo }
  record: { args: { id: string }; answer: InvocationRecord | null }
  records: { args: { query: RecordQuery }; answer: InvocationRecord[] }
  logs: { args: { query: LogQuery }; answer: LogLine[] }
  /** Tell the channel of events for a while (event-relay.ts). */
  tell: { args: null; answer: null }
}

type Answers = { [Q in keyof Questions]: (args: Questions[Q]['args']) => Promise<Questions[Q]['answer']> }

/** What a worker is told besides by those who ask. */
export interface Asked {
  /** This version is about to be loaded: the registry may not know it yet. */
  verified(version: FunctionVersion): void
  /** Somebody wants to know what happens. */
  tell(): void
}

export function answersOf(worker: Worker, asked: Asked): (method: string, args: unknown) => Promise<unknown> {
  const answers: Answers = {
    verify: async ({ version }) => {
      asked.verified(version)
      await worker.verify(version)
      return null
    },
    coldReason: ({ version }) => worker.coldReason(version),
    sandboxes: async ({ namespace }) => worker.sandboxes(namespace),
    act: ({ sandbox, action }) => worker.act(sandbox, action),
    record: ({ id }) => worker.record(id),
    records: async ({ query }) => worker.records(query),
    logs: ({ query }) => worker.logs(query),
    tell: async () => {
      asked.tell()
      return null
    },
  }
  return async (method, args) => {
    if (!Object.hasOwn(answers, method)) throw new Error(`this worker does not know the question ${method}`)
    return await (answers[method as keyof Answers] as (args: unknown) => Promise<unknown>)(args)
  }
}
