import { describe, expect, test } from 'vitest'
import { type DeathEvidence, explainDeath } from '../../../../runtime/sandbox/death.ts'

const nothing: DeathEvidence = { exit: null, oomKills: 0, stderrTail: '', memoryLimitBytes: 64, memoryPeakBytes: 63 }

describe('why a sandbox ended', () => {
  test.each<[string, Partial<DeathEvidence>, object]>([
    ['an exit', { exit: { code: 3, signal: null } }, { code: 'EXITED', data: { exitCode: 3 } }],
    ['a clean exit', { exit: { code: 0, signal: null } }, { code: 'EXITED', data: { exitCode: 0 } }],
    ['a signal', { exit: { code: null, signal: 11 } }, { code: 'EXITED', data: { signal: 'SIGSEGV' } }],
    ['a real-time signal', { exit: { code: null, signal: 40 } }, { code: 'EXITED', data: { signal: 'signal 40' } }],
    ['nothing known', {}, { code: 'EXITED' }],
    [
      'the kernel’s memory limit',
      { exit: { code: null, signal: 9 }, oomKills: 1 },
      {
        code: 'OUT_OF_MEMORY',
        message: 'killed at its memory limit of 64b',
        data: { limitBytes: 64, peakBytes: 63 },
      },
    ],
    [
      'V8’s heap limit',
      { exit: { code: null, signal: 6 }, stderrTail: 'FATAL ERROR: … JavaScript heap out of memory\n' },
      { code: 'OUT_OF_MEMORY' },
    ],
    ['SIGKILL alone', { exit: { code: null, signal: 9 } }, { code: 'EXITED', data: { signal: 'SIGKILL' } }],
  ])('%s', (_title, evidence, fault) => {
    expect(explainDeath({ ...nothing, ...evidence })).toMatchObject(fault)
  })
})
