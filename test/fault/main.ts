// `npm run fault`: campaigns one after the other, their table, and an exit code. See docs/reliability.md.
import { type CampaignResult, runCampaign } from './campaign.ts'
import type { FaultKind } from './faults.ts'
import type { HouseKind } from './house.ts'
import { campaignsOf, type FaultOptions, parseOptions, UsageError, usage } from './options.ts'
import { nameOf, reportOf } from './report.ts'

/** What was running when its platform or worker died runs again so soon after /readyz. */
const RERUN_MS = { together: 10_000, apart: 30_000 } as const
const SCALE = { fullDiskMs: 5_000, clockMs: 3_000 }

async function main(): Promise<number> {
  let options: FaultOptions | null
  try {
    options = parseOptions(process.argv.slice(2))
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`fault: ${error.message}\nfault: npm run fault -- --help tells more\n`)
    return 2
  }
  if (options === null) {
    process.stdout.write(`${usage()}\n`)
    return 0
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write('fault: needs root, as fn up does: sudo npm run fault\n')
    return 1
  }
  const campaigns = campaignsOf(options)
  if (campaigns.length === 0) {
    process.stderr.write('fault: none of these kinds can strike in that house; npm run fault -- --help lists them\n')
    return 2
  }
  const results: CampaignResult[] = []
  let unbegun = 0
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort())
  for (const campaign of campaigns) {
    if (stop.signal.aborted) break
    try {
      results.push(await runOne(campaign, options, stop.signal))
    } catch (error) {
      // What the others found is told all the same.
      process.stderr.write(`fault: a campaign could not be begun: ${(error as Error).message}\n`)
      unbegun++
    }
  }
  process.stdout.write(options.json ? `${JSON.stringify(results, null, 2)}\n` : `${reportOf(results)}\n`)
  const late = results.filter(({ house, account }) => account.rerunMs.some((ms) => ms > RERUN_MS[house]))
  for (const { house, kinds } of late)
    process.stderr.write(
      `late: ${nameOf(house, kinds)}: a call ran again more than ${RERUN_MS[house]} ms after /readyz\n`,
    )
  return unbegun === 0 && late.length === 0 && results.every((result) => result.clean) ? 0 : 1
}

async function runOne(
  campaign: { readonly house: HouseKind; readonly kinds: readonly FaultKind[] },
  options: FaultOptions,
  stop: AbortSignal,
): Promise<CampaignResult> {
  const { house, kinds } = campaign
  const name = nameOf(
    house,
    kinds.map((kind) => kind.name),
  )
  const say = (line: string): void => void process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`)
  say(`${name}: ${options.kills} of each kind, ${options.calls} calls, --seed ${options.seed}`)
  const { calls, kills, clients, rate, seed, minutes, logFile } = options
  const result = await runCampaign({
    house,
    kinds,
    calls,
    kills,
    clients,
    rate,
    seed,
    limitMs: minutes * 60_000,
    scale: SCALE,
    logFile,
    stop,
    say,
  })
  if (!result.clean) say(reportOf([result]))
  say(`${name}: ${result.clean ? 'clean' : 'NOT CLEAN'} after ${result.seconds} s`)
  return result
}

process.exitCode = await main()
