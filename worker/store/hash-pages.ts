// A hash of Redis read page by page, so that neither the server nor this process stands still for a long one.
import type { RedisStore } from './connect.ts'

const PAGE = 256

/** Calls `take` for each field. One that is added or removed meanwhile may be missing; one may come twice. */
export async function readHash(
  redis: Pick<RedisStore, 'command'>,
  key: string,
  take: (field: string, text: string) => void,
): Promise<void> {
  let cursor = '0'
  do {
    const [next, flat] = (await redis.command('HSCAN', key, cursor, 'COUNT', PAGE)) as [string, string[]]
    for (let index = 0; index + 1 < flat.length; index += 2) take(flat[index]!, flat[index + 1]!)
    cursor = next
  } while (cursor !== '0')
}
