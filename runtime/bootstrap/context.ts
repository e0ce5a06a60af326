// The second (or third) argument of web handlers: what DESIGN calls ctx.
import type { Context } from '../handler.ts'
import type { InitConfig } from '../protocol/messages.ts'
import type { Call } from './call.ts'

/** The context of one call. `signal` is made at first use; `waitUntil` may be taken off the object. */
export function createContext(call: Call, config: InitConfig): Context {
  const { head } = call
  return {
    rawUrl: head.target,
    invocationId: head.id,
    attempt: head.attempt,
    functionName: config.functionName,
    version: config.version,
    deadline: call.deadline,
    get signal() {
      return call.signal
    },
    waitUntil: (promise) => call.waitUntil(promise),
  }
}
