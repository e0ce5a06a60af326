// The wire between the processes under test and their Redis: passes everything on, but for one command when asked.
import { type CommandFault, openRedisProxy, type RedisProxy } from '../support/redis-proxy.ts'

export interface Harm {
  /** Commands of the lane that pass before the one that is harmed. */
  readonly after: number
  readonly fault: CommandFault
}

/** What connections say to each other before they serve; and what tells a server's health. */
const NOT_OF_THE_LANE = new Set(['HELLO', 'AUTH', 'CLIENT', 'INFO', 'PING', 'SELECT', 'CONFIG'])

export class Wire {
  readonly socketPath: string
  readonly #target: string
  #proxy: RedisProxy | null = null
  #harm: Harm | null = null
  #passed = 0
  #struck: string | null = null

  constructor(socketPath: string, target: string) {
    this.socketPath = socketPath
    this.#target = target
  }

  async open(): Promise<void> {
    const { socketPath } = this
    this.#proxy = await openRedisProxy({ socketPath, target: this.#target, judge: (words) => this.#judge(words) })
  }

  async close(): Promise<void> {
    await this.#proxy?.close()
  }

  arm(harm: Harm): void {
    this.#harm = harm
    this.#passed = 0
    this.#struck = null
  }

  /** The verb of the command that was harmed; null: none was yet. */
  get struck(): string | null {
    return this.#struck
  }

  #judge([verb = '']: readonly string[]): CommandFault | null {
    const harm = this.#harm
    if (harm === null || NOT_OF_THE_LANE.has(verb.toUpperCase()) || this.#passed++ < harm.after) return null
    this.#harm = null
    this.#struck = verb.toUpperCase()
    return harm.fault
  }
}
