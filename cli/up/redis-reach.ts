// Why a Redis that was named does not serve: for whoever started the process and reads its first lines. Connects and asks nothing.
import { connect, type Socket } from 'node:net'

/** What processes that lack their Redis say of themselves begins with. */
export const REDIS_IS_AWAY = 'Redis is away'
const REACH_MS = 1_000

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
  return `${place} is reached, but is no Redis this process may use; its log says why (user, password, TLS, maxmemory-policy): REDIS_URL`
}

/** null: connected. */
function reach(socket: Socket): Promise<string | null> {
  return new Promise<string | null>((resolve) => {
    socket.setTimeout(REACH_MS, () => resolve(`no answer within ${REACH_MS} ms`))
    socket.once('connect', () => resolve(null))
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  }).finally(() => socket.destroy())
}
