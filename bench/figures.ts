// From what was measured to the figures that budgets judge, and the same figures of a peer and by the other client. Pure.
import { BUDGETS, type BudgetId } from './budgets.ts'
import type { Density } from './density.ts'
import type { Acceptor, Lane } from './lane.ts'
import { latencyOf } from './latency.ts'
import { type Closed, type ClosedName, overRounds, type Round } from './rounds.ts'
import type { Measured } from './sections.ts'

/** null or absent: not measured. */
export type Figures = Readonly<Partial<Record<BudgetId, number | null>>>

/** What Thaw did. */
export function figuresOf(run: Measured): Figures {
  const compare = comparer(run.rounds ?? [])
  const { paced, density, burst, lane } = run
  return {
    'warm-p50': compare('thaw', 'node', p50),
    'warm-throughput': compare('thaw-32', 'hono-32', rate),
    'warm-p99': compare('thaw-32', 'hono-32', p99),
    'shared-throughput': compare('shared-32', 'hono-32', rate),
    'echo-p50': compare('thaw-echo', 'node-echo', p50),
    // Only when the frozen function was thawed and the warm one warm, by far the most of the time.
    'thaw-p50':
      paced !== undefined && shareOf(paced.starts.thawed, 'thawed') > 0.9 && shareOf(paced.starts.warm, 'warm') > 0.9
        ? paced.thawed.p50 - paced.warm.p50
        : null,
    'stem-p50': run.stem?.calls.stem?.p50 ?? null,
    'stem-p99': run.stem?.calls.stem?.p99 ?? null,
    'large-p50': run.large?.calls.stem?.p50 ?? null,
    'large-p99': run.large?.calls.stem?.p99 ?? null,
    'cold-p50': run.cold?.calls.cold?.p50 ?? null,
    'cold-p99': run.cold?.calls.cold?.p99 ?? null,
    'freeze-p50': run.freezeUs === undefined || run.freezeUs.length === 0 ? null : latencyOf(run.freezeUs).p50,
    'limits-p50': overRounds(run.rounds ?? [], (round) => difference(round.limited, round.thaw)),
    'limits-metering': run.limitsCost?.differenceUs ?? null,
    'enqueue-rate': acceptedPerS(lane, 'open'),
    'enqueue-share': quotient(acceptedPerS(lane, 'thaw'), acceptedPerS(lane, 'add')),
    'enqueue-http-share': quotient(acceptedPerS(lane, 'thaw'), acceptedPerS(lane, 'http')),
    'frozen-memory': density === undefined ? null : frozenMegabytes(density),
    density: density === undefined ? null : servingSandboxes(density),
    'neighbour-p99': burst === undefined ? null : burst.during.p99 / burst.quiet.p99,
    ready: run.readyMs ?? null,
    'help-p50': run.helpMs === undefined ? null : latencyOf(run.helpMs).p50,
  }
}

/** What workerd did in the same rounds, where it does the same. It isolates by V8 isolates, not by containers. */
export function peerFigures(run: Measured): Figures {
  const compare = comparer(run.rounds ?? [])
  return {
    'warm-p50': compare('workerd', 'node', p50),
    'warm-p99': compare('workerd-32', 'hono-32', p99),
    'shared-throughput': compare('workerd-32', 'hono-32', rate),
    'echo-p50': compare('workerd-echo', 'node-echo', p50),
  }
}

/** What Thaw did as Node's own HTTP client sees it: a costlier client makes every server look more alike. */
export function plainClientFigures(run: Measured): Figures {
  const compare = comparer(run.rounds ?? [])
  return {
    'warm-p50': compare('thaw-plain', 'node-plain', p50),
    'warm-throughput': compare('thaw-32-plain', 'hono-32-plain', rate),
    'warm-p99': compare('thaw-32-plain', 'hono-32-plain', p99),
    'shared-throughput': compare('shared-32-plain', 'hono-32-plain', rate),
  }
}

/** MB a frozen and reclaimed sandbox holds, with its part of what zram uses; null when nothing was reclaimed. */
export function frozenMegabytes(density: Density): number | null {
  const last = density.reclaimed.at(-1)
  return last === undefined ? null : (last.chargedBytes + last.zramBytes) / last.count / 1e6
}

/** All of them when every one that was asked answered, else none; null when fewer than were promised were tried. */
function servingSandboxes(density: Density): number | null {
  const promised = BUDGETS.find((budget) => budget.id === 'density')?.limit ?? 0
  const count = density.reclaimed.at(-1)?.count ?? 0
  if (count < promised) return null
  return density.right === density.asked ? count : 0
}

type Value = (closed: Closed) => number
const p50: Value = (closed) => closed.latency.p50
const p99: Value = (closed) => closed.latency.p99
const rate: Value = (closed) => closed.rate

/** A value of one subject over that of another of the same round: the median over rounds. */
function comparer(rounds: readonly Round[]) {
  return (of: ClosedName, to: ClosedName, value: Value): number | null =>
    overRounds(rounds, (round) => {
      const [ours, theirs] = [round[of], round[to]]
      return ours === undefined || theirs === undefined ? null : value(ours) / value(theirs)
    })
}

/** With 16 clients and each call on disk; null: not measured. */
function acceptedPerS(lane: Lane | undefined, by: Acceptor): number | null {
  const found = lane?.accepted.find((one) => one.by === by && one.sync === 'always' && one.clients > 1)
  return found?.rate ?? null
}

function quotient(of: number | null, to: number | null): number | null {
  return of === null || to === null ? null : of / to
}

function difference(above: Closed | undefined, below: Closed | undefined): number | null {
  return above === undefined || below === undefined ? null : (above.latency.p50 - below.latency.p50) * 1000
}

function shareOf(starts: Readonly<Record<string, number>>, kind: string): number {
  const all = Object.values(starts).reduce((sum, count) => sum + count, 0)
  return all === 0 ? 0 : (starts[kind] ?? 0) / all
}
