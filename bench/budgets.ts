// The numbers we promise, as a table of budgets. Measures nothing; bench/main.ts fills the figures in and judges.

/** How a figure came about decides what a miss means: a `ratio` or `difference` compares two subjects of the same rounds and
 *  holds on any machine; an `absolute` depends on the machine and is only shown. */
export type BudgetKind = 'ratio' | 'difference' | 'absolute'

export interface Budget {
  readonly id: BudgetId
  readonly what: string
  readonly kind: BudgetKind
  /** Unit of the figure: `×` of the other subject, `share` of its throughput, `MB` of 10⁶ bytes, a number of `sandboxes`. */
  readonly unit: '×' | 'share' | 'ms' | 'µs' | '/s' | 'MB' | 'sandboxes'
  /** The figure must not be above (`most`) or below (`least`) the limit. */
  readonly bound: 'most' | 'least'
  readonly limit: number
  /** What we work towards; null when the limit is the goal. */
  readonly aim: number | null
  /** The best of the peers in the same place, for comparison. */
  readonly peer: string
}

export type BudgetId =
  | 'warm-p50'
  | 'warm-throughput'
  | 'warm-p99'
  | 'shared-throughput'
  | 'echo-p50'
  | 'thaw-p50'
  | 'stem-p50'
  | 'stem-p99'
  | 'large-p50'
  | 'large-p99'
  | 'cold-p50'
  | 'cold-p99'
  | 'freeze-p50'
  | 'limits-p50'
  | 'limits-metering'
  | 'enqueue-rate'
  | 'enqueue-share'
  | 'enqueue-http-share'
  | 'frozen-memory'
  | 'density'
  | 'neighbour-p99'
  | 'ready'
  | 'help-p50'

/** In the order of the report. */
export const BUDGETS: readonly Budget[] = Object.freeze([
  most('warm-p50', 'ratio', '×', 2.3, 2.0, 'warm call p50, c=1, against bare node:http', 'workerd 2.1, Nuclio 2.3'),
  least('warm-throughput', 'ratio', 'share', 0.3, 0.4, 'warm throughput, c=32, against bare Hono', 'of-watchdog 0.39'),
  most('warm-p99', 'ratio', '×', 10, null, 'warm p99, c=32, against bare Hono', 'none'),
  least('shared-throughput', 'ratio', 'share', 0.5, null, 'the same with sandboxConcurrency 32', 'workerd 0.53'),
  most('echo-p50', 'ratio', '×', 2.5, null, '1 KiB echo p50, c=1, against bare node:http', 'Nuclio 2.2, workerd 2.25'),
  most('thaw-p50', 'difference', 'ms', 0.5, 0.2, 'thawed p50 above warm after the same gap', 'bare cgroup.freeze 0.5'),
  most('stem-p50', 'absolute', 'ms', 8, null, 'stem start, hello, p50', "OpenLambda's zygote 24"),
  most('stem-p99', 'absolute', 'ms', 25, null, 'stem start, hello, p99', "OpenLambda's zygote 43"),
  most('large-p50', 'absolute', 'ms', 20, null, 'the same with a bundle of 400 kB, p50', 'none'),
  most('large-p99', 'absolute', 'ms', 50, null, 'the same with a bundle of 400 kB, p99', 'none'),
  most('cold-p50', 'absolute', 'ms', 100, null, 'cold start without stem, p50', 'Fission 110, docker run 177'),
  most('cold-p99', 'absolute', 'ms', 180, null, 'cold start without stem, p99', 'docker run 282'),
  most('freeze-p50', 'absolute', 'µs', 200, null, 'freeze confirmed, p50', 'OpenLambda 13000'),
  most(
    'limits-p50',
    'difference',
    'µs',
    50,
    null,
    'per-call limits, changed by every call, above none',
    'nobody has them',
  ),
  most('limits-metering', 'difference', 'µs', 50, null, 'limits written and metering read, above neither', 'none'),
  least(
    'enqueue-rate',
    'absolute',
    '/s',
    5000,
    null,
    'durable calls accepted, 16 clients, while they run',
    'BullMQ trip 1519',
  ),
  least('enqueue-share', 'ratio', 'share', 0.6, null, 'accepted alone, against bare BullMQ add in a loop', 'none'),
  least('enqueue-http-share', 'ratio', 'share', 0.6, null, 'the same against BullMQ behind bare node:http', 'none'),
  most(
    'frozen-memory',
    'absolute',
    'MB',
    9,
    null,
    "a frozen sandbox after reclaim, zram's share in it",
    'Node idle 60',
  ),
  least(
    'density',
    'absolute',
    'sandboxes',
    500,
    null,
    'functions deployed, frozen, and answering their next call',
    'none',
  ),
  most('neighbour-p99', 'ratio', '×', 3, null, "a function's p99 during another's burst, against quiet", 'none'),
  most('ready', 'absolute', 'ms', 20_000, null, 'fn up to /readyz, packages installed', 'none'),
  most('help-p50', 'absolute', 'ms', 150, null, 'fn --help, p50', 'none'),
])

/** `holds`: within the limit; `aim`: within the aim as well; `missed`; `unmeasured`: no figure in this run. */
export type Verdict = 'aim' | 'holds' | 'missed' | 'unmeasured'

/** Judges a figure; null (not measured) is never a miss. */
export function judge(budget: Budget, figure: number | null): Verdict {
  if (figure === null) return 'unmeasured'
  const within = (limit: number) => (budget.bound === 'most' ? figure <= limit : figure >= limit)
  if (!within(budget.limit)) return 'missed'
  return budget.aim === null || within(budget.aim) ? 'aim' : 'holds'
}

type Row = [
  id: BudgetId,
  kind: BudgetKind,
  unit: Budget['unit'],
  limit: number,
  aim: number | null,
  what: string,
  peer: string,
]

function most(...row: Row): Budget {
  return budget('most', row)
}

function least(...row: Row): Budget {
  return budget('least', row)
}

function budget(bound: Budget['bound'], [id, kind, unit, limit, aim, what, peer]: Row): Budget {
  return Object.freeze({ id, what, kind, unit, bound, limit, aim, peer })
}
