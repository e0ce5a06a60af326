// `npm run bench`: one run over all subjects on this machine, its tables, and bench/results/<date>.json and .html. `--help` tells.
import { run as runCommand } from '../runtime/host/spawn.ts'
import { ROOT } from '../test/support/platform.ts'
import { figuresOf, peerFigures, plainClientFigures } from './figures.ts'
import { busyShare, describeMachine } from './machine.ts'
import { HELP, type Options, parseOptions, UsageError } from './options.ts'
import {
  judgeAll,
  missedComparisons,
  type Run,
  renderBudgets,
  renderGrowth,
  renderLane,
  renderLatencies,
  writeRun,
} from './report.ts'
import { type Measured, SECTIONS } from './sections.ts'
import { type Subjects, startSubjects, workerdVersion } from './subjects.ts'

const IDLE_SAMPLE_MS = 1500
const QUIET_SHARE = 0.1

const options = readOptions()
if (options !== null) await bench(options)

function readOptions(): Options | null {
  try {
    const parsed = parseOptions(process.argv.slice(2))
    if (parsed === null) console.log(HELP)
    return parsed
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    console.error(`bench: ${error.message}`)
    process.exitCode = 2
    return null
  }
}

async function bench(options: Options): Promise<void> {
  const run = await takeRun(options)
  if (options.json) console.log(JSON.stringify(run, null, 1))
  else
    console.log(
      [renderLatencies(run.raw), renderLane(run.raw), renderGrowth(run.raw), renderBudgets(run)]
        .filter(Boolean)
        .join('\n\n'),
    )
  for (const reason of run.absent) say(`not measured: ${reason}`)
  if (run.others > QUIET_SHARE) {
    // Cores that never sleep make bare servers faster, and the longer path waits more often for its turn.
    say(
      `not a quiet machine: others used ${(run.others * 100).toFixed(0)} % of its cores; do not judge by these figures`,
    )
  }
  if (options.write) {
    const { json, html } = writeRun(ROOT, run)
    say(`written to ${json} and ${html}`)
  }
  const missed = missedComparisons(run.figures)
  if (options.check && missed.length > 0) {
    console.error(`\nmissed:\n${renderBudgets(run, missed)}`)
    process.exitCode = 1
  }
}

async function takeRun({ extent, sections }: Options): Promise<Run> {
  const startedAt = new Date().toISOString()
  const begun = performance.now()
  const machine = describeMachine()
  const commit = (await runCommand('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD'])).stdout.trim()
  say(`${machine.cores} cores, ${machine.cpu}, kernel ${machine.kernel}, Node ${machine.node}`)
  const busyBefore = await busyShare(IDLE_SAMPLE_MS)
  const { raw, absent } = await measure(extent, sections)
  const others = Math.max(busyBefore, await busyShare(IDLE_SAMPLE_MS))
  const figures = figuresOf(raw)
  const workerd = workerdVersion()
  return {
    ...{ startedAt, tookS: Math.round((performance.now() - begun) / 1000), commit, options: { extent, sections } },
    ...{ machine, others, peers: workerd === null ? {} : { workerd }, absent },
    ...{ figures, verdicts: judgeAll(figures) },
    ...{ peerFigures: peerFigures(raw), plainClientFigures: plainClientFigures(raw), raw },
  }
}

/** One section after the other. The subjects start with the first that needs them and always stop. */
async function measure(
  extent: Options['extent'],
  names: Options['sections'],
): Promise<{ raw: Measured; absent: readonly string[] }> {
  let started: Subjects | null = null
  const subjects = async () => {
    if (started === null) {
      started = await startSubjects()
      say(`fn up was ready after ${started.readyMs.toFixed(0)} ms`)
    }
    return started
  }
  const stop = async () => {
    const running = started
    started = null
    await running?.stop()
  }
  let raw: Measured = {}
  const absent: string[] = []
  try {
    for (const section of SECTIONS.filter(({ name }) => names.includes(name))) {
      say(`${section.name}: ${section.what}`)
      // The platforms it fills are its own, and want the memory and the cores for themselves.
      if (section.name === 'density' || section.name === 'lane') await stop()
      raw = { ...raw, ...(await section.run({ subjects, extent, say })) }
      const { readyMs, absent: missing } = (started as Subjects | null) ?? { readyMs: null, absent: [] }
      if (readyMs !== null) raw = { ...raw, readyMs }
      for (const reason of missing) if (!absent.includes(reason)) absent.push(reason)
    }
  } finally {
    await stop()
  }
  if (raw.density?.absent) absent.push(`memory after reclaim: ${raw.density.absent}`)
  return { raw, absent }
}

function say(line: string): void {
  console.error(line)
}
