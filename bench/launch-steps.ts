// Where the time of a launch goes: sandboxes made through runtime/ alone, one after the other, each step of the creation timed by
// the runtime itself, then the load of a small function and its first call. Needs root and an OCI runtime; leaves nothing.
import { call, startTestRuntime } from '../test/support/kernel-runtime.ts'
import { median } from './latency.ts'

/** A step of a launch and its median duration. */
export interface LaunchStep {
  readonly name: string
  readonly ms: number
}

export async function measureLaunchSteps(launches: number): Promise<readonly LaunchStep[]> {
  const platform = await startTestRuntime()
  const times = new Map<string, number[]>()
  const add = (name: string, ms: number) => times.set(name, [...(times.get(name) ?? []), ms])
  try {
    for (let n = -2; n < launches; n++) {
      const begun = performance.now()
      const sandbox = await platform.start(`async () => new Response('ok')`)
      const loaded = performance.now()
      await call(sandbox)
      const answered = performance.now()
      const created = sandbox.steps.reduce((sum, step) => sum + step.ms, 0)
      await sandbox.destroy()
      // The first ones fill the page cache.
      if (n < 0) continue
      for (const step of sandbox.steps) add(step.name, step.ms)
      add('load', loaded - begun - created)
      add('first call', answered - loaded)
    }
  } finally {
    await platform.close()
  }
  return [...times].map(([name, samples]) => ({ name, ms: median(samples) ?? 0 }))
}
