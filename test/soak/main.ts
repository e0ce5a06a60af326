// `npm run soak`: a platform of its own under mixed load, sampled every 10 s; then Redis stands still, the disk is full and the
// clock an hour ahead. By hand: docs/soak.md has the last figures. Exits 1 when something grows, is lost or stays broken.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ROOT } from '../support/platform.ts'
import { judgesGrowth, parseOptions, type SoakOptions, UsageError, usage } from './options.ts'
import { sweepFolders } from './own-folder.ts'
import { growthLines, renderSoak, type Soak, strikeLines, tallyLines } from './page.ts'
import { SoakRun } from './run.ts'
import { growthsOf } from './slopes.ts'

async function main(): Promise<number> {
  let options: SoakOptions | null
  try {
    options = parseOptions(process.argv.slice(2), join(ROOT, 'bench/results'))
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`soak: ${error.message}\nsoak: npm run soak -- --help tells more\n`)
    return 2
  }
  if (options === null) {
    process.stdout.write(`${usage()}\n`)
    return 0
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write('soak: needs root, as fn up does: sudo npm run soak\n')
    return 1
  }
  for (const name of await sweepFolders()) process.stderr.write(`swept what a killed soak had left: ${name}\n`)
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort())
  const startedAt = new Date().toISOString()
  const run = new SoakRun(options, stop.signal)
  await run.run()
  return tell(options, run, startedAt)
}

function tell(options: SoakOptions, run: SoakRun, startedAt: string): number {
  const { minutes, scale, out } = options
  const { samples, events, strikes, bounds } = run
  const growths = growthsOf(samples)
  const tallies = Object.fromEntries(run.tallies)
  const soak: Soak = { startedAt, minutes, scale, samples, growths, tallies, strikes, bounds, events }
  const name = join(resolve(out), `soak-${startedAt.slice(0, 16).replace(':', '')}Z`)
  mkdirSync(resolve(out), { recursive: true })
  writeFileSync(`${name}.json`, `${JSON.stringify(soak)}\n`)
  writeFileSync(`${name}.html`, renderSoak(soak))
  const grown = judgesGrowth(options) ? growths.filter(({ grows }) => grows).map(({ figure }) => `${figure} grows`) : []
  const troubles = [...run.troubles, ...strikes.flatMap((one) => one.troubles), ...grown]
  const lines = [
    ...growthLines(growths),
    ...(judgesGrowth(options) ? [] : ['too short a run to tell what grows from what warms up']),
    '',
    ...tallyLines(tallies),
    '',
    ...bounds,
    ...strikes.flatMap((strike) => ['', ...strikeLines(strike)]),
    '',
    ...troubles.map((trouble) => `trouble: ${trouble}`),
    `${troubles.length === 0 ? 'all is well' : 'NOT all is well'}; written to ${name}.html`,
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
  return troubles.length === 0 ? 0 : 1
}

process.exitCode = await main()
