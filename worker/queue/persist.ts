// Writes that have to arrive: repeated until Redis took them or there is nobody left to write for.
import type { Clock, Logger } from '../../runtime/api.ts'

const AGAIN_MS = 200

/** Resolves to null when `givenUp` before Redis took it. A fault of ours (a TypeError) is not repeated. */
export async function persist<T>(
  write: () => Promise<T>,
  givenUp: () => boolean,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): Promise<T | null> {
  while (!givenUp()) {
    try {
      return await write()
    } catch (error) {
      if (error instanceof TypeError || error instanceof RangeError) throw error
      logger.debug({ reason: (error as Error).message }, 'redis did not take a write; again')
      await new Promise<void>((resolve) => clock.after(AGAIN_MS, resolve))
    }
  }
  return null
}
