import { describe, expect, test } from 'vitest'
import {
  budgetReport,
  hardLimitsOfSandbox,
  neededSettings,
  signalsOfSandbox,
} from '../../../runtime/machine-budgets.ts'

const SETTINGS = { report: () => ({}), release: () => {} }
const GOOD = {
  settings: SETTINGS,
  hardLimits: { sigpending: 96_000, nproc: 96_000 },
  boundsSockets: true,
  memoryVersion: 1 as const,
  totalPids: 16_000,
  cmdline: 'quiet',
  overcommit: '0\n',
}

describe('waiting signals of one sandbox', () => {
  test.each([
    [96_365, 70],
    [1_000_000, 732],
    [10_000_000, 1024],
    [100, 16],
    [undefined, 1024],
  ])('are of %s for the platform %s', (sigpending, expected) => {
    expect(signalsOfSandbox(sigpending === undefined ? {} : { sigpending })).toBe(expected)
  })

  test('cannot be asked for above that share', () => {
    expect(hardLimitsOfSandbox({ sigpending: 96_365, nofile: 20_000 })).toEqual({ sigpending: 70, nofile: 20_000 })
  })
})

test('files may be as many as memory has room for, so that memory ends first', () => {
  const files = neededSettings({ memoryBytes: 16e9, memoryVersion: 1 }).find(({ name }) => name === 'fs/file-max')
  expect(files?.least).toBe(100_000_000)
})

test('buffers of sockets are a setting of the machine only where they are part of a sandbox’s memory', () => {
  const rows = (memoryVersion: 1 | 2) => neededSettings({ memoryBytes: 4e9, memoryVersion }).map(({ row }) => row)
  expect(rows(2)).toContain('tcp buffers')
  expect(rows(1)).not.toContain('tcp buffers')
})

describe('the report', () => {
  test('of a host that holds all says so', () => {
    expect(Object.values(budgetReport(GOOD)).filter(({ enforced }) => !enforced)).toEqual([])
  })

  test.each([
    ['kernel memory', { cmdline: 'ro cgroup.memory=nokmem quiet' }, 'take nokmem'],
    ['address space', { overcommit: '2\n' }, 'overcommit_memory=0'],
    ['socket buffers', { boundsSockets: false }, 'cgroup v2'],
    ['signals', { hardLimits: { sigpending: 100 } }, 'ulimit -i'],
    ['tasks', { hardLimits: { nproc: 4000 } }, 'ulimit -u 16000'],
  ])('of one that does not hold %s says what would', (row, change, fix) => {
    const said = budgetReport({ ...GOOD, ...change })[row]!
    expect(said.enforced).toBe(false)
    expect(said.fix).toContain(fix)
  })
})
