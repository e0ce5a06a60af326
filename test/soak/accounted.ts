// Calls that are written down by whoever sends them and by whoever runs them, so that each can be accounted for: the fault
// campaign's clients, function and account, at a rate of their own.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Account, account, type Fault } from '../fault/account.ts'
import { askFates, askJournal, askList } from '../fault/ask.ts'
import { Clients } from '../fault/clients.ts'
import type { Asked } from '../fault/house.ts'
import { chanceOf } from '../fault/random.ts'
import type { Platform } from '../support/platform.ts'

const CLIENTS = 6
/** Calls a second. */
const RATE = 10
const DRAIN_MS = 60_000

export class Accounted {
  readonly #asked: Asked
  readonly #name: string
  readonly #clients: Clients
  readonly #sending: Promise<void>
  #done = false
  #nextMs = 0

  constructor(platform: Platform, name: string, number: number) {
    const headersOf = (init: RequestInit): Headers => {
      const headers = new Headers(init.headers)
      headers.set('authorization', `Bearer ${platform.token}`)
      return headers
    }
    this.#asked = {
      request: (path, init = {}, ms = 15_000) =>
        platform.request(path, { signal: AbortSignal.timeout(ms), ...init, headers: headersOf(init) }),
    }
    this.#name = name
    this.#clients = new Clients({
      house: this.#asked,
      clients: CLIENTS,
      chance: chanceOf(number),
      functions: [name],
      more: () => this.#more(),
    })
    this.#sending = this.#clients.run()
  }

  /** Answers that no client can make sense of. */
  get odd(): readonly string[] {
    return this.#clients.odd.slice(0, 10)
  }

  /** No more are sent; resolves when all have ended, or none has for a minute. */
  async end(faults: readonly Fault[]): Promise<Account> {
    this.#done = true
    await this.#sending
    const { submitted } = this.#clients
    const fates = await askFates(this.#asked, submitted, DRAIN_MS)
    // ORDER: the list before the journal is read: reading it is a call of the function, too.
    const listed = await askList(this.#asked, this.#name)
    const runs = await askJournal(this.#asked, this.#name)
    return account({ submitted, fates, listed, runs, faults })
  }

  async #more(): Promise<boolean> {
    const nowMs = performance.now()
    this.#nextMs = Math.max(nowMs, this.#nextMs) + 1000 / RATE
    await sleep(this.#nextMs - nowMs)
    return !this.#done
  }
}
