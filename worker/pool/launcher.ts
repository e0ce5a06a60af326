// Makes a slot's sandbox: image, creation, load. On failure nothing is left and the error is the caller's to report.
import { basename, extname } from 'node:path'
import { type CallSink, type Clock, type Code, type Runtime, RuntimeError } from '../../runtime/api.ts'
import type { FunctionVersion } from '../api.ts'
import { SourcePositions } from '../source-map.ts'
import type { Slot } from './slot.ts'

export interface LaunchHost {
  readonly runtime: Runtime
  readonly clock: Clock
  readonly moved: (slot: Slot) => void
  readonly output: (slot: Slot, ...line: Parameters<CallSink['log']>) => void
}

/** Takes the slot from `starting` through `loading` to `idle`. Throws RuntimeError; the sandbox is then destroyed. */
export async function launchSandbox(slot: Slot, host: LaunchHost): Promise<void> {
  const { version, config } = slot.pool
  const image = await host.runtime.images.get(version.image)
  slot.pool.positions ??= new SourcePositions(image.sourceMap)
  const sandbox = await host.runtime.create({
    layers: image.layers,
    limits: config.limits,
    network: config.network,
    writableRootBytes: config.writableRootBytes,
  })
  slot.sandbox = sandbox
  slot.createdAtMs = host.clock.monotonicMs()
  slot.move('loading')
  host.moved(slot)
  try {
    await sandbox.load(codeOf(version, image.source), config.initTimeoutMs, (stream, line) =>
      host.output(slot, stream, line),
    )
    if (sandbox.state === 'stopped') {
      const { fault } = await sandbox.stopped
      throw new RuntimeError('SANDBOX_STOPPED', `the sandbox ended after loading: ${fault.message}`, { fault })
    }
  } catch (error) {
    await sandbox.destroy().catch(() => undefined)
    throw error
  }
  slot.loadedAtMs = host.clock.monotonicMs()
  slot.move('idle')
}

/** What the sandbox runs. The bundle is named after the entry, `api/index.ts` → `index.js`, as stack traces show it. */
export function codeOf(version: FunctionVersion, source: Buffer): Code {
  const { config } = version
  return {
    source,
    fileName: `${basename(config.entry, extname(config.entry)) || 'index'}.js`,
    form: config.form,
    env: config.env,
    functionName: version.name,
    version: String(version.version),
  }
}
