// A gateway over fakes on a free port, with raw and fetch access, for contract tests. Owns its port and state directory.
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGateway, type Gateway } from '../../gateway/gateway.ts'
import type { GatewayOptions } from '../../gateway/options.ts'
import { FakeDeployer, FakeRegistry, FakeWorker, HOST, refuseBlkio, SILENT } from './fake-gateway-parts.ts'
import { FakeLane } from './fake-lane.ts'
import { realClock } from './real-clock.ts'

export const TOKEN = 'fn_0123456789abcdef'

export class TestGateway {
  readonly worker = new FakeWorker()
  readonly registry = new FakeRegistry()
  readonly lane = new FakeLane()
  readonly deployer = new FakeDeployer(this.registry)
  readonly stateDir = mkdtempSync(join(tmpdir(), 'thaw-gateway-'))
  gateway!: Gateway
  readyState: { ready: boolean; reason?: string } = { ready: true }

  static async start(options: Partial<GatewayOptions> = {}): Promise<TestGateway> {
    const made = new TestGateway()
    made.gateway = await createGateway({
      worker: made.worker,
      deployer: made.deployer,
      registry: made.registry,
      lane: made.lane,
      runtimeHost: HOST,
      token: TOKEN,
      listen: { host: '127.0.0.1', port: 0 },
      hosts: ['fn.example.org'],
      stateDir: made.stateDir,
      logger: SILENT,
      clock: realClock,
      version: '0.0.0',
      checkLimits: refuseBlkio,
      config: { listen: 'here' },
      ready: () => made.readyState,
      ...options,
    })
    return made
  }

  get port(): number {
    return (this.gateway.server.address() as { port: number }).port
  }

  /** fetch(); the token goes along for /v1 unless the request has an Authorization of its own or `anonymous`. */
  async fetch(path: string, init: RequestInit & { duplex?: 'half'; anonymous?: boolean } = {}): Promise<Response> {
    const headers = new Headers(init.headers)
    if (path.startsWith('/v1') && !init.anonymous && !headers.has('authorization'))
      headers.set('authorization', `Bearer ${TOKEN}`)
    return await fetch(this.gateway.url + path, { redirect: 'manual', ...init, headers })
  }

  /** Writes bytes over a connection of its own; resolves to all that came until the gateway closed it. */
  async raw(bytes: string | Buffer, then: (socket: Socket) => void = () => {}): Promise<string> {
    return await new Promise((resolve) => {
      const chunks: Buffer[] = []
      const socket = connect(this.port, '127.0.0.1', () => {
        socket.write(bytes)
        then(socket)
      })
      socket.on('data', (chunk) => chunks.push(chunk))
      socket.on('error', () => {})
      socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))
    })
  }

  async stop(): Promise<void> {
    await this.gateway.close(0)
    rmSync(this.stateDir, { recursive: true, force: true })
  }
}
