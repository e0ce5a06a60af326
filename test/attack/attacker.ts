// The platform under attack: one of its own, with the attacker's function and a neighbour's, and the watch over the host.
import { join } from 'node:path'
import type { SandboxInfo } from '../../worker/api.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { type HostWatch, watchHost } from './host-watch.ts'

export const INSIDE = join(ROOT, 'test', 'attack', 'inside')
export const NEIGHBOUR = join(ROOT, 'functions', 'hello.ts')

export interface Attacked {
  readonly platform: Platform
  readonly watch: HostWatch
  /** Calls the attacker's function. */
  call(path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>
  sandboxes(name: string): Promise<SandboxInfo[]>
  /** Checks the host once more, and that nothing is left of the platform. */
  close(): Promise<void>
}

/** `flags`: of the attacker's deploy. */
export async function attackPlatform(...flags: string[]): Promise<Attacked> {
  const platform = await startPlatform()
  await platform.deploy(INSIDE, ...flags)
  await platform.deploy(NEIGHBOUR, '--name', 'neighbour', '--min-warm', '1')
  const watch = await watchHost(platform)
  return {
    platform,
    watch,
    call: (path, body, headers) =>
      platform.request(`/fn/attacker${path}`, {
        ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
        ...(headers === undefined ? {} : { headers }),
      }),
    sandboxes: async (name) =>
      (await platform.json<SandboxInfo[]>('/v1/sandboxes')).filter((row) => row.function === name),
    close: async () => {
      try {
        watch.check()
      } finally {
        await watch.close()
        await platform.stop()
      }
    },
  }
}
