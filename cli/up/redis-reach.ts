// Why a Redis does not serve: for whoever asks a process whether it is ready, and for whoever started it and reads its first lines.
// Connects and asks nothing.
import { connect, type Socket } from 'node:net'
import type { DurableLane } from '../../worker/queue/api.ts'

/** What a process without its Redis says of itself begins with. */
const AWAY = 'Redis is away'
/** What does not work while Redis answers and takes nothing more. */
const NO_MORE = 'no more asynchronous calls are accepted; those that were are finished'
const REACH_MS = 1_000

/** Why the queue of a process takes nothing, `without` being what does not work then; null: it does. `why`: what is known of a
 *  Redis that is away. */
export function laneTrouble(
  lane: Pick<DurableLane, 'available' | 'refusal' | 'full'>,
  without: string,
  why: string | null = null,
): string | null {
  if (!lane.available()) return lane.refusal() ?? `${AWAY}${why === null ? '' : ` (${why})`}: ${without}`
  const full = lane.full()
  return full === null ? null : `${full}: ${NO_MORE}`
}

/** Whether a trouble is that nobody answers. */
export function isAway(trouble: string): boolean {
  return trouble.startsWith(AWAY)
}

/** One sentence with place, reason and way out. `url` is REDIS_URL; neither user nor password of it are shown. */
export async function whyRedisIsAway(url: string): Promise<string> {
  const { protocol, hostname, port, host, pathname } = new URL(url)
  const isPath = protocol === 'unix:'
  const place = `${protocol}//${isPath ? pathname : host}`
  const socket = isPath
    ? connect({ path: pathname })
    : connect({ host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 6379 : Number(port) })
  const reason = await reach(socket)
  if (reason !== null) return `nothing answers at ${place} (${reason}); start Redis there, or name another: REDIS_URL`
  return `${place} is reached, but is no Redis this process may use; its log says why (user, password, TLS): REDIS_URL`
}

/** null: connected. */
function reach(socket: Socket): Promise<string | null> {
  return new Promise<string | null>((resolve) => {
    socket.setTimeout(REACH_MS, () => resolve(`no answer within ${REACH_MS} ms`))
    socket.once('connect', () => resolve(null))
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  }).finally(() => socket.destroy())
}
