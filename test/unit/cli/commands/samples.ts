// Answers of a gateway for tests of verbs: one record, functions, sandboxes.
import { DEFAULT_LIMITS } from '../../../../runtime/api.ts'
import type { FunctionVersion, InvocationRecord, SandboxInfo } from '../../../../worker/api.ts'
import { sampleRecord as recordSample, versionOf } from '../../../support/samples.ts'

/** Of a thawed call, with every figure something of its own. */
export function sampleRecord(id: string): InvocationRecord {
  return recordSample(id, {
    start: 'thawed',
    createdAt: '2026-01-02T03:04:05.678Z',
    startedAt: '2026-01-02T03:04:05.679Z',
    endedAt: '2026-01-02T03:04:05.690Z',
    queueMs: 0.1,
    thawMs: 0.05,
    runMs: 10.5,
    limits: { ...DEFAULT_LIMITS, deviceReadBps: [{ device: '/dev/sda', rate: 1024 }] },
    metering: {
      exact: true,
      cpuUserUs: 1500,
      cpuSystemUs: 250,
      throttledUs: 3000,
      memoryPeakBytes: 17 * 1024 ** 2,
      memoryBytes: 16 * 1024 ** 2,
      swapPeakBytes: 0,
      ioReadBytes: 4096,
      ioWriteBytes: 0,
      ioReadOps: 1,
      ioWriteOps: 0,
      netRxBytes: 0,
      netTxBytes: 0,
      oomKills: 0,
      pageFaults: 12,
      tasksPeak: 9,
      freezeUs: 67,
      thawUs: 43,
      idleCpuUs: 0,
    },
  })
}

export function sampleVersion(version: number): FunctionVersion {
  const image = `sha256:${String(version).repeat(64)}`
  const createdAt = '2026-01-02T03:04:05.678Z'
  return { ...versionOf('hello', { env: { LEVEL: 'info' } }, version), image, createdAt }
}

/** Function `hello` with three versions, `latest` at the second, `prod` split. */
export const sampleFunction = {
  namespace: 'default',
  name: 'hello',
  createdAt: '2026-01-02T03:04:05.678Z',
  updatedAt: '2026-01-02T03:04:05.678Z',
  latest: 2,
  versions: [sampleVersion(1), sampleVersion(2), sampleVersion(3)],
  aliases: { latest: { weights: { '2': 100 } }, prod: { weights: { '1': 90, '3': 10 } } },
  url: 'http://127.0.0.1:8080/fn/hello',
}

export function sampleSandbox(id: string, state: SandboxInfo['state'], name = 'hello'): SandboxInfo {
  return {
    id,
    namespace: 'default',
    function: name,
    version: 2,
    state,
    pid: 4242,
    memoryBytes: 16 * 1024 ** 2,
    cpuUs: 90_000,
    calls: 7,
    inFlight: state === 'busy' ? 1 : 0,
    createdAt: '2026-01-02T03:04:05.678Z',
    idleSince: null,
  }
}
