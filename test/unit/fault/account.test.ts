// The account of a fault campaign finds what is wrong: each case is a small history with one thing amiss, or none.
import { describe, expect, test } from 'vitest'
import {
  type Account,
  account,
  type Fate,
  type Fault,
  isClean,
  type Seen,
  type Submitted,
} from '../../fault/account.ts'
import { parseJournal, type Run } from '../../fault/journal.ts'
import type { CallKind } from '../../fault/plan.ts'

function sent(key: string, ids: readonly string[], kind: CallKind = 'plain', failures = 0): Submitted {
  return {
    call: { kind, key, keyed: true, query: '', headers: {}, bodyBytes: 0, failures },
    ids,
    cancelConfirmed: false,
  }
}
function ran(id: string, key: string, beginMs: number, changes: Partial<Run> = {}): Run {
  return { id, key, attempt: 1, run: `${id}-${beginMs}`, beginMs, lastMs: beginMs + 10, ended: true, ...changes }
}
const killed: Fault = { kind: 'platform', fromMs: 100, untilMs: 200, endsAttempts: false }
const fate = (state: string | null, changes: Partial<Fate> = {}): Fate => ({
  state,
  deadLetter: state === 'failed',
  resultRight: true,
  ...changes,
})

function accountOf(changes: Partial<Seen>): Account {
  const clean: Seen = {
    submitted: [sent('a', ['1'])],
    fates: new Map([['1', fate('succeeded')]]),
    listed: ['1'],
    runs: [ran('1', 'a', 50)],
    faults: [killed],
  }
  return account({ ...clean, ...changes })
}

describe('what was acknowledged', () => {
  test('is clean when it succeeded, wrote that it ran, and is listed', () => {
    const found = accountOf({})
    expect(isClean(found)).toBe(true)
    expect(found).toMatchObject({ acknowledged: 1, indeterminate: 0, succeeded: 1, duplicates: 0 })
  })

  test.each([
    ['has no record', { fates: new Map([['1', fate(null)]]) }],
    ['was never asked for', { fates: new Map() }],
    ['is still queued', { fates: new Map([['1', fate('queued')]]) }],
    ['succeeded without a trace', { runs: [] }],
    ['succeeded with a run that never came to its end', { runs: [ran('1', 'a', 50, { ended: false })] }],
    ['failed without a dead letter', { fates: new Map([['1', fate('failed', { deadLetter: false })]]) }],
    ['lost its result', { fates: new Map([['1', fate('succeeded', { resultRight: false })]]) }],
  ])('is lost when it %s', (_, changes) => {
    expect(accountOf(changes).lost).toHaveLength(1)
  })

  test.each([
    ['a dead letter that nothing explains', 'plain', 'failed'],
    ['a success of what fails by design', 'doomed', 'succeeded'],
    ['a cancelled call that nobody cancelled', 'plain', 'cancelled'],
    ['an expired call that had six hours', 'plain', 'expired'],
  ] as const)('is wrong with %s', (_, kind, state) => {
    const submitted = [sent('a', ['1'], kind)]
    expect(accountOf({ submitted, fates: new Map([['1', fate(state)]]) }).wrong).toHaveLength(1)
  })

  test('is stuck when it has not ended although all is idle, acknowledged or not', () => {
    const found = accountOf({ open: ['2'] })
    expect([found.stuck.length, isClean(found)]).toEqual([1, false])
  })

  test('may be a dead letter when the platform died under it more than twenty times, and not before', () => {
    const why = 'attempt 0, the worker ended again and again while it ran this call'
    const fates = new Map([['1', fate('failed', { why })]])
    expect(accountOf({ fates, faults: Array(21).fill(killed) }).wrong).toEqual([])
    expect(accountOf({ fates, faults: Array(20).fill(killed) }).wrong).toHaveLength(1)
  })

  test('is wrong when it ran on after its cancel was confirmed', () => {
    const submitted = [{ ...sent('a', ['1'], 'cancelled'), cancelConfirmed: true }]
    expect(accountOf({ submitted }).wrong).toEqual(['1 (a, cancelled): succeeded, though its cancel was confirmed'])
  })
})

describe('what nobody submitted', () => {
  test('is unexpected: a run with an unknown key, and a record too many', () => {
    expect(accountOf({ runs: [ran('1', 'a', 50), ran('9', 'zzz', 60)] }).unexpected).toHaveLength(1)
    expect(accountOf({ listed: ['1', '9'] }).unexpected).toHaveLength(1)
  })

  test('is allowed once for a call that was never acknowledged', () => {
    const submitted = [sent('a', ['1']), sent('b', [])]
    const once = accountOf({ submitted, runs: [ran('1', 'a', 50), ran('2', 'b', 60)], listed: ['1', '2'] })
    expect(once).toMatchObject({ unexpected: [], indeterminate: 1 })
    const twice = accountOf({ submitted, runs: [ran('1', 'a', 50), ran('2', 'b', 60), ran('3', 'b', 70)] })
    expect(twice.unexpected).toEqual(['b: one submission ran as 2 and 3'])
  })

  test('is one key acknowledged under two ids', () => {
    const fates = new Map([
      ['1', fate('succeeded')],
      ['2', fate('succeeded')],
    ])
    const runs = [ran('1', 'a', 50), ran('2', 'a', 60)]
    expect(accountOf({ submitted: [sent('a', ['1', '2'])], fates, runs }).unexpected).not.toEqual([])
  })
})

describe('a second run', () => {
  test('is explained by a fault during the first, and its delay counted from the fault’s end', () => {
    const runs = [ran('1', 'a', 95, { ended: false }), ran('1', 'a', 450)]
    expect(accountOf({ runs })).toMatchObject({ duplicates: 1, unexplained: [], rerunMs: [250] })
  })

  test('is unexplained when no fault lies between, or the first had ended long before it', () => {
    expect(accountOf({ runs: [ran('1', 'a', 500), ran('1', 'a', 900)] }).unexplained).toHaveLength(1)
    const late: Fault = { ...killed, fromMs: 9_000, untilMs: 9_100 }
    expect(accountOf({ runs: [ran('1', 'a', 500), ran('1', 'a', 9_200)], faults: [late] }).unexplained).toHaveLength(1)
  })

  test('with the next number is explained only by a fault that ends an attempt, or by design', () => {
    const runs = [ran('1', 'a', 95, { ended: false }), ran('1', 'a', 450, { attempt: 2 })]
    expect(accountOf({ runs }).unexplained).toHaveLength(1)
    expect(accountOf({ runs, faults: [{ ...killed, endsAttempts: true }] }).unexplained).toEqual([])
    const submitted = [sent('a', ['1'], 'fails-once', 1)]
    expect(accountOf({ submitted, runs, faults: [] })).toMatchObject({ duplicates: 0, unexplained: [] })
  })

  test('is wrong while the first still runs', () => {
    const runs = [ran('1', 'a', 95, { ended: false, lastMs: 600 }), ran('1', 'a', 450)]
    expect(accountOf({ runs }).wrong).toEqual(['1 (a): attempt 1, then 1: the first still ran 150 ms on'])
  })
})

test('the journal is read by runs, and lines cut short are left out', () => {
  const id = '01a1fee3-a4f2-71c5-9d00-000000000001'
  const lines = [
    `${id} 1 k1 p-1 begin 100`,
    `${id} 1 k1 p-1 ti`,
    `${id} 1 k1 p-2 begin 300`,
    '',
    `${id} 1 k1 p-2 end 350`,
  ]
  expect(parseJournal(lines.join('\n'))).toEqual([
    { id, attempt: 1, key: 'k1', run: 'p-1', beginMs: 100, lastMs: 100, ended: false },
    { id, attempt: 1, key: 'k1', run: 'p-2', beginMs: 300, lastMs: 350, ended: true },
  ])
})
