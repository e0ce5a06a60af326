// A real redis-server for contract tests: on a unix socket in a folder of its own, gone when the test is.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Logger, spawn } from '../../runtime/api.ts'
import { type EmbeddedRedis, startEmbeddedRedis } from '../../worker/store/embedded-redis.ts'
import { realClock, silentLogger } from './real-clock.ts'

export { realClock, silentLogger }

export interface TestRedis {
  readonly stateDir: string
  readonly socketPath: string
  readonly server: EmbeddedRedis
  /** SIGKILL; it is started again by its supervisor. */
  kill(): void
  /** Stops it and removes all its files. */
  close(): Promise<void>
}

export async function startTestRedis(logger: Logger = silentLogger): Promise<TestRedis> {
  const folder = await mkdtemp(join(tmpdir(), 'thaw-redis-'))
  const stateDir = join(folder, 'state')
  const server = await startEmbeddedRedis({ stateDir, runDir: join(folder, 'run'), spawn, logger, clock: realClock })
  return {
    stateDir,
    socketPath: server.socketPath,
    server,
    kill() {
      const pid = server.pid()
      if (pid !== null) process.kill(pid, 'SIGKILL')
    },
    async close() {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Resolves with the first answer that is not null, undefined or false; throws what was awaited when it does not come. */
export async function eventually<T>(
  what: string,
  ask: () => T | Promise<T>,
  deadlineMs = 10_000,
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    const answer = await ask()
    if (answer !== null && answer !== undefined && answer !== false) return answer as NonNullable<Exclude<T, false>>
    if (performance.now() > deadline) throw new Error(`${what}: did not happen within ${deadlineMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
