// What the pool knows of functions' calls, on disk over a restart: one JSON file, replaced as a whole. A file that cannot be
// read or written costs a log line and nothing else.
import { readFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import type { Logger } from '../../runtime/api.ts'
import { messageOf } from '../failures.ts'
import type { Retention } from './retention.ts'

const FORMAT = 1

/** Takes over what an earlier platform knew. */
export function readRetention(path: string, retention: Retention, logger: Logger): void {
  try {
    const { format, functions } = JSON.parse(readFileSync(path, 'utf8')) as { format?: unknown; functions?: unknown }
    if (format !== FORMAT) throw new Error(`expected format ${FORMAT}, got ${JSON.stringify(format)}`)
    retention.restore(functions)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    logger.warn({ path, error: messageOf(error) }, 'what was known of calls cannot be read: learning starts again')
  }
}

/** Writes down what is known. */
export async function writeRetention(path: string, retention: Retention, logger: Logger): Promise<void> {
  try {
    const file = await open(`${path}.tmp`, 'w', 0o600)
    try {
      await file.writeFile(JSON.stringify({ format: FORMAT, functions: retention.snapshot() }))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(`${path}.tmp`, path)
  } catch (error) {
    logger.warn({ path, error: messageOf(error) }, 'what is known of calls cannot be written')
  }
}
