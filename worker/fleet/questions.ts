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
}

type Answers = { [Q in keyof Questions]: (args: Questions[Q]['args']) => Promise<Questions[Q]['answer']> }

/** `verified` is told of a version before it is loaded: the registry may not know it yet. */
export function answersOf(
  worker: Worker,
  verified: (version: FunctionVersion) => void,
): (method: string, args: unknown) => Promise<unknown> {
  const answers: Answers = {
    verify: async ({ version }) => {
      verified(version)
      await worker.verify(version)
      return null
    },
    coldReason: ({ version }) => worker.coldReason(version),
    sandboxes: async ({ namespace }) => worker.sandboxes(namespace),
    act: ({ sandbox, action }) => worker.act(sandbox, action),
    record: ({ id }) => worker.record(id),
    records: async ({ query }) => worker.records(query),
    logs: ({ query }) => worker.logs(query),
  }
  return async (method, args) => {
    if (!Object.hasOwn(answers, method)) throw new Error(`this worker does not know the question ${method}`)
    return await (answers[method as keyof Answers] as (args: unknown) => Promise<unknown>)(args)
  }
}
