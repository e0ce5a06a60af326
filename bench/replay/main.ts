// `npm run replay -- TRACE.csv`: a day of calls played through the pool's own keep-alive policy, beside fixed ones.
// Reads arguments, prints, exits; simulate.ts counts, live.ts drives a running platform.
import { parseArgs } from 'node:util'
import { DEFAULT_PRICE } from '../../worker/pool/policy/retention.ts'
import { LiveError, type LiveOptions, runLive } from './live.ts'
import { type Replay, replay } from './operating-points.ts'
import { MEASURED_TIERS, type Tiers } from './tiers.ts'
import { readTrace, TraceError } from './trace.ts'

const USAGE = `npm run replay -- TRACE.csv [options]

Plays calls per minute (one function a line, columns minute_1 … as in the Azure Functions trace 2019) through keep-alive
policies and prints how many minutes with calls began cold, and what was held idle for it. Memory: N_mem.csv beside N_inv.csv.

  --json                  rows {policy, coldPercent, idleMinutes, idleMbMinutes} alone on stdout (npm's own two lines: npm run --silent)
  --frozen-share S        what a frozen sandbox holds of its running charge, 0-1 (measured: ${MEASURED_TIERS.frozenShare})
  --reclaimed-share S     the same of a reclaimed one (measured with --zram: ${MEASURED_TIERS.reclaimedShare}; without swap: 0.99)
  --live                  drive the running platform (FN_URL, FN_TOKEN) with the trace instead of simulating
    --speed N             minutes of the trace in one minute (default 60)
    --functions M         so many functions of the trace, spread over it by activity (default 20)
    --minutes N           the first N minutes only (default: all)
    --function NAME       call this deployed function instead of deploying one each; repeatable
                          prints the cold share measured, and simulated for the same calls; SIGINT ends it cleanly

Examples
  npm run replay -- ../shared/data/azure2019/200_inv.csv
  npm run --silent replay -- ../shared/data/azure2019/200_inv.csv --json | jq .
  npm run replay -- ../shared/data/azure2019/50_inv.csv --live --speed 60 --functions 5 --minutes 60`

/** Arguments that make no sense; the message is for the user. */
class UsageError extends Error {}

/** As a shell says it of SIGINT. */
const INTERRUPTED = 130

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  try {
    const { flags, path } = parsed(args)
    if (flags.help) {
      console.log(USAGE)
      return 0
    }
    if (path === undefined) throw new UsageError('expected the path of a trace, such as 200_inv.csv, got none')
    const tiers = tiersOf(flags)
    const live = flags.live ? liveOptionsOf(flags) : null
    const trace = readTrace(path)
    for (const note of trace.notes) console.error(`replay: ${note}`)
    if (live !== null) return await drive(trace, live, flags.json)
    const startedMs = performance.now()
    const answer = replay(trace, tiers, DEFAULT_PRICE)
    if (flags.json) console.log(JSON.stringify(answer.rows, null, 2))
    else print(answer)
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    console.error(`replay: ${trace.functions.length} functions, ${trace.minutes} minutes, in ${seconds} s`)
    return 0
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`replay: ${error.message}\n→ npm run replay -- --help`)
      return 2
    }
    if (!(error instanceof TraceError || error instanceof LiveError)) throw error
    console.error(`replay: ${error.message}`)
    return 1
  }
}

type Flags = ReturnType<typeof parsed>['flags']

function parsed(args: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        json: { type: 'boolean', default: false },
        live: { type: 'boolean', default: false },
        'frozen-share': { type: 'string' },
        'reclaimed-share': { type: 'string' },
        speed: { type: 'string' },
        functions: { type: 'string' },
        minutes: { type: 'string' },
        function: { type: 'string', multiple: true },
      },
    })
    if (positionals.length > 1)
      throw new UsageError(`expected one trace, got ${positionals.length}: ${positionals.join(' ')}`)
    return { flags: values, path: positionals[0] }
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError((error as Error).message)
  }
}

function tiersOf(flags: Flags): Tiers {
  const { frozenShare, reclaimedShare } = MEASURED_TIERS
  return {
    ...MEASURED_TIERS,
    frozenShare: numberOf('--frozen-share', flags['frozen-share'], frozenShare, [0, 1]),
    reclaimedShare: numberOf('--reclaimed-share', flags['reclaimed-share'], reclaimedShare, [0, 1]),
  }
}

function liveOptionsOf(flags: Flags): LiveOptions {
  const stop = new AbortController()
  // Twice means at once: then what was deployed stays.
  process.once('SIGINT', () => stop.abort())
  process.once('SIGTERM', () => stop.abort())
  return {
    signal: stop.signal,
    url: process.env.FN_URL ?? 'http://127.0.0.1:8080',
    speed: numberOf('--speed', flags.speed, 60, [0.1, 10_000]),
    functions: Math.round(numberOf('--functions', flags.functions, 20, [1, 1000])),
    minutes: Math.round(numberOf('--minutes', flags.minutes, Number.MAX_SAFE_INTEGER, [1, Number.MAX_SAFE_INTEGER])),
    names: flags.function ?? [],
  }
}

function numberOf(flag: string, text: string | undefined, fallback: number, [least, most]: [number, number]): number {
  if (text === undefined) return fallback
  const number = text.trim() === '' ? Number.NaN : Number(text)
  if (number >= least && number <= most) return number
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`
  throw new UsageError(`${flag}: expected a number ${range}, got "${text}"`)
}

async function drive(trace: Parameters<typeof runLive>[0], options: LiveOptions, json: boolean): Promise<number> {
  const seen = await runLive(trace, options, (line) => console.error(`replay: ${line}`))
  if (json) console.log(JSON.stringify(seen, null, 2))
  else {
    const starts = Object.entries(seen.starts).map(([kind, count]) => `${kind} ${count}`)
    console.log(
      `${seen.calls} calls in ${seen.minutes} minutes of the trace: ${starts.join(', ')}; failed ${seen.failed}`,
    )
    console.log(`cold: measured ${seen.coldPercent} %, simulated ${seen.simulatedColdPercent} % of the calls`)
  }
  if (options.signal.aborted) return INTERRUPTED
  return seen.failed > 0 ? 1 : 0
}

function print({ rows, live }: Replay): void {
  const lines = [...rows, { ...live, policy: 'thaw, live' }].map((row) => [
    row.policy,
    row.coldPercent.toFixed(2),
    row.idleMinutes.toLocaleString('en'),
    row.idleMbMinutes.toLocaleString('en'),
  ])
  for (const line of [['policy', 'cold %', 'idle minutes', 'idle MB·minutes'], ...lines]) {
    console.log(line.map((cell, index) => (index === 0 ? cell.padEnd(12) : cell.padStart(16))).join(''))
  }
  console.log(
    '\nthaw@idle, @cold, @memory: at no more idle minutes, cold share, MB·minutes than fixed-10; thaw, live: the default',
  )
}
