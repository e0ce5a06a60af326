// An OCI runtime that fails for a while: /readyz says so, for as long as it does.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SandboxInfo } from '../../worker/api.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

let folder: string
let broken: string
let platform: Platform
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'thaw-runtime-'))
  broken = join(folder, 'broken')
  const runtime = join(folder, 'runc')
  writeFileSync(
    runtime,
    `#!/bin/sh\nif [ -e ${broken} ]; then case " $* " in *' run '*|*' create '*) echo 'the runtime is broken' >&2; exit 1;; esac; fi\nexec runc "$@"\n`,
  )
  chmodSync(runtime, 0o755)
  platform = await startPlatform({ env: { FN_OCI_RUNTIME: runtime } })
  await platform.deploy('functions/hello.ts')
})
afterAll(async () => {
  await platform.stop()
  rmSync(folder, { recursive: true, force: true })
})

const ready = async () => {
  const response = await platform.request('/readyz')
  return { status: response.status, reason: ((await response.json()) as { reason?: string }).reason ?? null }
}

test('/readyz tells that no sandbox can be made, with the reason, and is well by itself once one can', async () => {
  expect(await ready()).toEqual({ status: 200, reason: null })
  writeFileSync(broken, '')
  await until('/readyz says why', async () => {
    for (const { id } of await platform.json<SandboxInfo[]>('/v1/sandboxes'))
      await platform.request(`/v1/sandboxes/${id}/kill`, { method: 'POST' })
    await platform.request('/fn/hello', { signal: AbortSignal.timeout(2000) }).catch(() => undefined)
    const { status, reason } = await ready()
    return (status === 503 && /^no sandbox can be made: .*broken/.test(reason ?? '')) || `${status} ${reason}`
  })
  rmSync(broken)
  await until('/readyz is well', async () => (await ready()).status === 200 || 'not yet')
  expect((await platform.request('/fn/hello')).status).toBe(200)
})
