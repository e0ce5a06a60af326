// Clients that submit calls and write down what they were told. A call with a key is sent again until it is acknowledged; one
// without is sent once, and without an answer nobody can know what became of it.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Submitted } from './account.ts'
import type { Asked } from './house.ts'
import { type PlannedCall, planCall } from './plan.ts'
import type { Chance } from './random.ts'

export interface ClientsOptions {
  readonly house: Asked
  readonly clients: number
  readonly chance: Chance
  /** Functions called in turn. */
  readonly functions: readonly string[]
  /** Resolves to whether another call is to be sent, when it is time for it. */
  readonly more: () => Promise<boolean>
}

const AGAIN_MS = 100
/** No call is tried for longer: a platform that is away so long is a finding of its own. */
const PATIENCE_MS = 90_000

interface Mutable {
  readonly call: PlannedCall
  readonly ids: string[]
  cancelConfirmed: boolean
}

export class Clients {
  readonly #options: ClientsOptions
  readonly #submitted: Mutable[] = []
  readonly #odd: string[] = []
  #acknowledged = 0

  constructor(options: ClientsOptions) {
    this.#options = options
  }

  get submitted(): readonly Submitted[] {
    return this.#submitted
  }
  /** Calls acknowledged so far. */
  get acknowledged(): number {
    return this.#acknowledged
  }
  /** Answers that no client can make sense of. */
  get odd(): readonly string[] {
    return this.#odd
  }

  /** Resolves when all calls are sent. */
  async run(): Promise<void> {
    const { clients, chance } = this.#options
    await Promise.all(Array.from({ length: clients }, () => this.#client(chance.fork())))
  }

  async #client(chance: Chance): Promise<void> {
    while (await this.#options.more()) {
      const number = this.#submitted.length
      const one: Mutable = { call: planCall(chance, number), ids: [], cancelConfirmed: false }
      this.#submitted.push(one)
      await this.#submit(one, this.#options.functions[number % this.#options.functions.length] ?? '')
    }
  }

  async #submit(one: Mutable, name: string): Promise<void> {
    const { call } = one
    const deadline = performance.now() + PATIENCE_MS
    do {
      const id = await this.#send(call, name)
      if (id !== null) {
        one.ids.push(id)
        this.#acknowledged++
        if (call.kind === 'cancelled') await this.#cancel(one, id)
        return
      }
      await sleep(AGAIN_MS)
    } while (call.keyed && performance.now() < deadline)
  }

  /** null: not acknowledged. */
  async #send(call: PlannedCall, name: string): Promise<string | null> {
    try {
      const response = await this.#options.house.request(`/fn/${name}?${call.query}`, {
        method: 'POST',
        headers: { prefer: 'respond-async', ...call.headers, ...(call.keyed ? { 'idempotency-key': call.key } : {}) },
        body: bodyOf(call),
      })
      const text = await response.text()
      if (response.status === 202) return response.headers.get('location')?.split('/').at(-1) ?? null
      if (response.status !== 503) this.#odd.push(`${call.key}: ${response.status} ${text.slice(0, 200)}`)
      return null
    } catch {
      return null // it is away, or died over this request
    }
  }

  async #cancel(one: Mutable, id: string): Promise<void> {
    try {
      const response = await this.#options.house.request(`/v1/invocations/${id}`, { method: 'DELETE' })
      const record = (await response.json()) as { state?: string }
      one.cancelConfirmed = response.ok && record.state === 'cancelled'
    } catch {
      // nothing was confirmed: either end is right
    }
  }
}

/** What the function gets, and gives back behind the key. */
export function bodyOf({ key, bodyBytes }: PlannedCall): string {
  return `${key}.`.repeat(Math.ceil(bodyBytes / (key.length + 1))).slice(0, bodyBytes)
}
