// All sandboxes of a platform, those being made included, so that its end misses none.
// Keeps count only; who uses which sandbox is decided above.
import type { Sandbox, SandboxSpec } from '../api.ts'
import { RuntimeError } from '../errors.ts'
import { AtOnce } from '../host/at-once.ts'
import { keepAlive } from '../host/keep-alive.ts'
import { createSandbox, type SandboxHost } from './create.ts'
import type { ContainerSandbox } from './sandbox.ts'

export interface LiveSandboxes {
  /** Throws as `createSandbox`, and RuntimeError `CREATE_FAILED` after `close`. */
  create(spec: SandboxSpec): Promise<Sandbox>
  /** Sandboxes that are ready and not destroyed yet. */
  all(): Iterable<ContainerSandbox>
  /** Refuses new ones, waits for those being made, destroys all. */
  close(): Promise<void>
}

export function trackSandboxes(host: SandboxHost, maxLaunches: number): LiveSandboxes {
  // A creation costs 30 ms of CPU: more than one a core only makes all of them late.
  const launches = new AtOnce(maxLaunches)
  const pending = new Set<Promise<Sandbox>>()
  const alive = new Set<ContainerSandbox>()
  let closed = false
  const launch = async (spec: SandboxSpec): Promise<Sandbox> => {
    if (closed) throw new RuntimeError('CREATE_FAILED', 'the platform is stopping')
    const sandbox = await createSandbox(host, spec)
    alive.add(sandbox)
    const forget = () => alive.delete(sandbox)
    sandbox.gone.then(forget, forget)
    return sandbox
  }
  return {
    async create(spec) {
      const creation = keepAlive(launches.run(() => launch(spec)))
      pending.add(creation)
      try {
        return await creation
      } finally {
        pending.delete(creation)
      }
    },
    all: () => alive,
    async close() {
      closed = true
      await Promise.allSettled(pending)
      await Promise.allSettled([...alive].map((sandbox) => sandbox.destroy()))
    },
  }
}
