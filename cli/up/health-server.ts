// What a worker says of itself over HTTP when it is asked to: alive, ready, metrics. Nothing can be called or changed here.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Metrics } from '../../gateway/metrics.ts'
import type { LoopStands } from '../../runtime/api.ts'
import type { Worker } from '../../worker/api.ts'
import type { DurableLane } from '../../worker/queue/api.ts'
import type { Quotas } from '../../worker/registry/quotas.ts'
import type { Config } from '../config.ts'
import { systemClock } from './clock.ts'
import { restartsOf, restartWarning } from './restarted.ts'

export interface HealthServer {
  readonly url: string
  close(): Promise<void>
}

/** Listens. `trouble`: why it is not ready, null when it is. Rejects with node's own error when it cannot. */
export async function createHealthServer(
  listen: Config['listen'],
  worker: Worker,
  lane: DurableLane,
  loop: LoopStands,
  quotas: Quotas,
  trouble: () => string | null,
): Promise<HealthServer> {
  const metrics = new Metrics({ worker, lane, quotas, loop, clock: systemClock })
  const answers: Readonly<Record<string, () => Promise<[status: number, type: string, body: string]>>> = {
    '/healthz': async () => [200, 'application/json', '{"status":"ok"}'],
    '/readyz': async () => {
      const reason = trouble()
      const warning = restartWarning(restartsOf(process.env))
      const more = warning === null ? {} : { warning }
      const state = reason === null ? { ready: true, ...more } : { ready: false, reason, ...more }
      return [reason === null ? 200 : 503, 'application/json', JSON.stringify(state)]
    },
    '/metrics': async () => [200, metrics.contentType, await metrics.render()],
  }
  const server: Server = createServer((incoming, outgoing) => {
    const path = incoming.url?.split('?', 1)[0] ?? ''
    const asked = Object.hasOwn(answers, path) && incoming.method === 'GET' ? answers[path] : undefined
    const known = `a worker answers ${Object.keys(answers).join(', ')}; functions are called at a gateway\n`
    const answer = asked?.() ?? Promise.resolve([404, 'text/plain', known] as const)
    answer.then(
      ([status, type, body]) => outgoing.writeHead(status, { 'content-type': type }).end(body),
      () => outgoing.writeHead(500).end(),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(listen.port, listen.host, resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        metrics.close()
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
