// One process under test: started, awaited, killed, started again; the last lines it printed are kept for the report.
import { appendFileSync, readFileSync } from 'node:fs'
import { type SpawnedProcess, spawn } from '../../runtime/host/spawn.ts'

const KEPT_LINES = 60

export interface ServerOptions {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
  /** All it prints goes there, too. */
  readonly logFile?: string | undefined
}

export class Server {
  readonly name: string
  /** Of all its lives. */
  readonly pids: number[] = []
  readonly #options: ServerOptions
  readonly #lines: string[] = []
  #process: SpawnedProcess | null = null

  constructor(options: ServerOptions) {
    this.name = options.name
    this.#options = options
  }

  /** null while it does not run. */
  get pid(): number | null {
    return this.#process?.pid ?? null
  }

  /** Nothing when it runs. */
  start(): void {
    if (this.#process !== null) return
    const { command, args, env, cwd } = this.#options
    const started = spawn(command, args, { env, ...(cwd === undefined ? {} : { cwd }) })
    this.#process = started
    this.pids.push(started.pid)
    for (const stream of [started.stdout, started.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => this.#keep(text))
    void started.exited.then(({ code, signal }) => {
      this.#keep(`${this.name} ended: ${signal ?? `code ${code}`}\n`)
      if (this.#process === started) this.#process = null
    })
  }

  /** Resolves when it is gone, to how it ended; null: it did not run. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<string | null> {
    const running = this.#process
    if (running === null) return null
    running.kill(signal)
    const exit = await running.exited
    return exit.signal ?? `code ${exit.code}`
  }

  lastLines(): string {
    return this.#lines.join('\n')
  }

  #keep(text: string): void {
    if (this.#options.logFile !== undefined) appendFileSync(this.#options.logFile, text)
    this.#lines.push(...text.split('\n').filter((line) => line.trim() !== ''))
    this.#lines.splice(0, Math.max(0, this.#lines.length - KEPT_LINES))
  }
}

/** Stands still, is a zombie or is gone: it writes nothing any more. */
export function isDead(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return true
  }
}

/** False when it was gone. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}
