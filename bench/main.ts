// `npm run bench`: one run over all subjects on this machine, its table, and bench/results/<date>.json.
//   --quick          short: shows that it works, too noisy to judge by
//   --check          exit 1 when a budget that compares subjects of this run is missed
//   --rounds N       rounds of warm measurements (default 5)
//   --no-write       prints only
import { parseArgs } from 'node:util'
import { run as runCommand } from '../runtime/host/spawn.ts'
import { ROOT } from '../test/support/platform.ts'
import { type Enqueue, runEnqueue } from './enqueue.ts'
import { latencyOf } from './latency.ts'
import { type LimitsCost, measureLimitsCost } from './limits-cost.ts'
import { busyShare, describeMachine } from './machine.ts'
import { type Figures, judgeAll, missedComparisons, renderBudgets, renderLatencies, writeRun } from './report.ts'
import { overRounds, type Paced, type Round, runPaced, runRounds } from './rounds.ts'
import { freezeTimes, runStarts, type Starts } from './starts.ts'
import { type Subjects, startSubjects } from './subjects.ts'

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    'no-write': { type: 'boolean', default: false },
  },
})
const rounds = Number(flags.rounds ?? (flags.quick ? 2 : 5))
const durationMs = flags.quick ? 1000 : 3000
const samples = flags.quick ? 8 : 40
const IDLE_SAMPLE_MS = 1500
const QUIET_SHARE = 0.1

interface Measured {
  readonly rounds: readonly Round[]
  readonly paced: Paced
  readonly freezeUs: readonly number[]
  readonly stem: Starts
  readonly cold: Starts
  readonly limitsCost: LimitsCost
  readonly enqueue: Enqueue
  readonly helpMs: readonly number[]
}

const startedAt = new Date().toISOString()
const machine = describeMachine()
const commit = (await runCommand('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD'])).stdout.trim()
say(`${machine.cores} cores, ${machine.cpu}, kernel ${machine.kernel}, Node ${machine.node}`)
const busyBefore = await busyShare(IDLE_SAMPLE_MS)
const subjects = await startSubjects()
say(`fn up was ready after ${subjects.readyMs.toFixed(0)} ms`)
let measured: Measured
try {
  measured = await measure(subjects)
} finally {
  await subjects.stop()
}
const others = Math.max(busyBefore, await busyShare(IDLE_SAMPLE_MS))
const figures = figuresOf(measured)
console.log(renderLatencies(latencyRows(measured)))
console.log(`\n${renderBudgets(figures)}`)
if (others > QUIET_SHARE) {
  // Cores that never sleep make bare servers faster, and the longer path waits more often for its turn.
  say(`\nnot a quiet machine: others used ${(others * 100).toFixed(0)} % of its cores; do not judge by these figures`)
}
if (!flags['no-write']) {
  const run = {
    startedAt,
    commit,
    options: { rounds, durationMs },
    machine,
    others,
    figures,
    verdicts: judgeAll(figures),
  }
  say(`\nwritten to ${writeRun(ROOT, { ...run, raw: { readyMs: subjects.readyMs, ...measured } })}`)
}
const missed = missedComparisons(figures)
if (flags.check && missed.length > 0) {
  console.error(`missed: ${missed.join(', ')}`)
  process.exitCode = 1
}

async function measure(all: Subjects): Promise<Measured> {
  const onRound = (n: number) => say(`round ${n + 1} of ${rounds}`)
  const warm = await runRounds(all, { rounds, durationMs, onRound })
  say('the same idle gap: bare, warm, thawed')
  const paced = await runPaced(all, flags.quick ? 30 : 200)
  const freezeUs = await freezeTimes(all.platform, 'frozen')
  say('starts of sandboxes')
  const stem = await runStarts(all.platform, 'stemmed', samples)
  const cold = await runStarts(all.platform, 'cold', samples)
  say('fn --help')
  const helpMs: number[] = []
  for (let n = 0; n < (flags.quick ? 3 : 10); n++) {
    const begun = performance.now()
    await all.platform.fn('--help')
    helpMs.push(performance.now() - begun)
  }
  say('limits and metering, on and off')
  const limitsCost = await measureLimitsCost(flags.quick ? 400 : 3000)
  say('durable enqueue')
  const enqueue = await runEnqueue(all, flags.quick ? 500 : 2000)
  return { rounds: warm, paced, freezeUs, stem, cold, limitsCost, enqueue, helpMs }
}

function figuresOf(run: Measured): Figures {
  const over = (figure: (round: Round) => number) => overRounds(run.rounds, figure)
  return {
    'warm-p50': over((round) => round.thaw.latency.p50 / round.node.latency.p50),
    'warm-throughput': over((round) => round['thaw-32'].rate / round['hono-32'].rate),
    'warm-p99': over((round) => round['thaw-32'].latency.p99 / round['hono-32'].latency.p99),
    'shared-throughput': over((round) => round['shared-32'].rate / round['hono-32'].rate),
    'echo-p50': over((round) => round['thaw-echo'].latency.p50 / round['node-echo'].latency.p50),
    // Only when the frozen function was thawed and the warm one warm, by far the most of the time.
    'thaw-p50':
      share(run.paced.starts.thawed, 'thawed') > 0.9 && share(run.paced.starts.warm, 'warm') > 0.9
        ? run.paced.thawed.p50 - run.paced.warm.p50
        : null,
    'stem-p50': run.stem.calls.stem?.p50 ?? null,
    'stem-p99': run.stem.calls.stem?.p99 ?? null,
    'cold-p50': run.cold.calls.cold?.p50 ?? null,
    'cold-p99': run.cold.calls.cold?.p99 ?? null,
    'freeze-p50': run.freezeUs.length === 0 ? null : latencyOf(run.freezeUs).p50,
    'limits-p50': over((round) => (round.limited.latency.p50 - round.thaw.latency.p50) * 1000),
    'limits-metering': run.limitsCost.differenceUs,
    'enqueue-rate': run.enqueue.thaw,
    'enqueue-share': run.enqueue.thaw / run.enqueue.bullmq,
    'help-p50': latencyOf(run.helpMs).p50,
  }
}

function share(starts: Readonly<Record<string, number>>, kind: string): number {
  const all = Object.values(starts).reduce((sum, count) => sum + count, 0)
  return all === 0 ? 0 : (starts[kind] ?? 0) / all
}

/** The last round stands for its fellows; all of them are in the file. */
function latencyRows(run: Measured): { name: string; latency: ReturnType<typeof latencyOf>; rate?: number }[] {
  const last = run.rounds.at(-1)
  return [
    ...Object.entries(last ?? {}).map(([name, { latency, rate }]) => ({ name, latency, rate })),
    { name: 'node, after a gap', latency: run.paced.node },
    { name: 'warm, after a gap', latency: run.paced.warm },
    { name: 'thawed, after a gap', latency: run.paced.thawed },
    ...Object.entries(run.stem.calls).map(([kind, latency]) => ({ name: `first call, ${kind}`, latency })),
    ...Object.entries(run.cold.calls).map(([kind, latency]) => ({ name: `no stem fits, ${kind}`, latency })),
    { name: 'fn --help', latency: latencyOf(run.helpMs) },
  ]
}

function say(line: string): void {
  console.error(line)
}
