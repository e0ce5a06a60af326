// The second (or third) argument of web handlers: what docs/handler.md calls `ctx`.
import type { Context } from '../handler.ts'
import type { InitConfig } from '../protocol/messages.ts'
import type { Call } from './call.ts'

/** The context of one call. `waitUntil` may be taken off the object. */
export class CallContext implements Context {
  readonly rawUrl: string
  readonly invocationId: string
  readonly attempt: number
  readonly functionName: string
  readonly version: string
  readonly deadline: number
  readonly waitUntil: (promise: Promise<unknown>) => void
  readonly #call: Call

  constructor(call: Call, config: InitConfig) {
    const { head } = call
    this.#call = call
    this.rawUrl = head.target
    this.invocationId = head.id
    this.attempt = head.attempt
    this.functionName = config.functionName
    this.version = config.version
    this.deadline = call.deadline
    this.waitUntil = (promise) => call.waitUntil(promise)
  }

  // An accessor of the prototype: one on every object would cost each call a change of its shape.
  get signal(): AbortSignal {
    return this.#call.signal
  }
}
