// Sandboxes of one kernel test file: a runtime of its own, its sandboxes destroyed after each test, and nothing left at the end.
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll } from 'vitest'
import type { Metering, Sandbox, SandboxSpec } from '../../runtime/api.ts'
import type { RuntimeOptions } from '../../runtime/runtime.ts'
import { startTestRuntime, type TestRuntime } from './kernel-runtime.ts'
import { until } from './until.ts'

export const MIB = 1024 ** 2

export interface KernelSandboxes {
  readonly platform: TestRuntime
  start(...args: Parameters<TestRuntime['start']>): Promise<Sandbox>
  /** Without code. */
  create(spec: SandboxSpec): Promise<Sandbox>
}

/** Registers the hooks of a test file. `options` go to the runtime. */
export function useSandboxes(options: Partial<RuntimeOptions> = {}): KernelSandboxes {
  let platform: TestRuntime | null = null
  const running: Sandbox[] = []
  beforeAll(async () => {
    platform = await startTestRuntime(options)
  })
  afterEach(async () => {
    await Promise.all(running.splice(0).map((sandbox) => sandbox.destroy()))
  })
  afterAll(async () => {
    await platform?.close()
  })
  return {
    get platform() {
      if (platform === null) throw new Error('used before the file began')
      return platform
    },
    async start(...args) {
      const sandbox = await this.platform.start(...args)
      running.push(sandbox)
      return sandbox
    },
    async create(spec) {
      const sandbox = await this.platform.runtime.create(spec)
      running.push(sandbox)
      return sandbox
    },
  }
}

/** What a piece of work cost the sandbox. */
export async function metered<T>(sandbox: Sandbox, work: () => Promise<T>): Promise<{ value: T; metering: Metering }> {
  sandbox.beginMetering()
  const value = await work()
  return { value, metering: sandbox.endMetering(true) }
}

/** Lets time go by: for what is measured a second, never for a state. */
export async function elapse(ms: number): Promise<void> {
  const end = performance.now() + ms
  await until(`${ms} ms went by`, () => performance.now() >= end, ms + 30_000)
}

/** CPU ticks of a process by the kernel's own account (proc(5), stat fields 14 and 15). */
export function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return Number(fields[11]) + Number(fields[12])
}
