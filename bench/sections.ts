// The parts of a run, in the order they are measured: what each measures and how long it is allowed to be. Judges nothing.
import { type Burst, runBursts } from './burst.ts'
import { type Density, measureDensity } from './density.ts'
import { COUNTS, type GrowthCost, measureGrowth } from './growth.ts'
import { type Lane, type LaneExtent, runLane } from './lane.ts'
import { type LaunchStep, measureLaunchSteps } from './launch-steps.ts'
import { type LimitsCost, measureLimitsCost } from './limits-cost.ts'
import {
  type Closed,
  type OpenRate,
  type Paced,
  type Round,
  runContainerPerCall,
  runOpenRates,
  runPaced,
  runRounds,
} from './rounds.ts'
import { freezeTimes, haveCodeCache, runStarts, type Starts } from './starts.ts'
import type { Subjects } from './subjects.ts'

/** What a run measured; what was left out, or is not there, is absent. */
export interface Measured {
  readonly readyMs?: number
  readonly rounds?: readonly Round[]
  readonly open?: readonly OpenRate[]
  readonly paced?: Paced
  readonly freezeUs?: readonly number[]
  readonly stem?: Starts
  readonly large?: Starts
  readonly cold?: Starts
  /** `runc run` for every call; null: no runc. */
  readonly containerPerCall?: Closed | null
  readonly launchSteps?: readonly LaunchStep[]
  readonly burst?: Burst
  readonly density?: Density
  readonly limitsCost?: LimitsCost
  readonly lane?: Lane
  readonly growth?: readonly GrowthCost[]
  readonly helpMs?: readonly number[]
}

/** How much of everything. */
export interface Extent extends LaneExtent {
  readonly rounds: number
  readonly durationMs: number
  readonly openMs: number
  readonly gapCalls: number
  readonly starts: number
  readonly bursts: number
  readonly density: number
  readonly densityFrozen: number
  readonly limitsCalls: number
  readonly helps: number
  /** Changes of each kind, at each number of things stored. */
  readonly growthChanges: number
  /** The highest number stored. */
  readonly growthMost: number
}

export const FULL: Extent = {
  ...{ rounds: 4, durationMs: 1500, openMs: 2500, gapCalls: 200, starts: 40, bursts: 10 },
  ...{ density: 500, densityFrozen: 20, limitsCalls: 3000, helps: 10 },
  ...{ growthChanges: 50, growthMost: 10_000 },
  ...{ laneMs: 1500, laneRounds: 3, laneStarts: 300, laneCalls: 3000 },
}
/** Shows that everything works; too short to judge by. */
export const QUICK: Extent = {
  ...{ rounds: 1, durationMs: 600, openMs: 800, gapCalls: 30, starts: 6, bursts: 1 },
  ...{ density: 20, densityFrozen: 5, limitsCalls: 400, helps: 3 },
  ...{ growthChanges: 10, growthMost: 1_000 },
  ...{ laneMs: 500, laneRounds: 1, laneStarts: 30, laneCalls: 500 },
}

export interface SectionContext {
  /** The bare servers and the platform, started when first asked for. */
  readonly subjects: () => Promise<Subjects>
  readonly extent: Extent
  /** One line of progress. */
  readonly say: (line: string) => void
}

export interface Section {
  readonly name: SectionName
  readonly what: string
  readonly run: (context: SectionContext) => Promise<Measured>
}
export type SectionName =
  | 'warm'
  | 'open'
  | 'gap'
  | 'starts'
  | 'launch'
  | 'burst'
  | 'help'
  | 'limits'
  | 'lane'
  | 'growth'
  | 'density'

/** ORDER: what needs the machine's rest first; what leaves a backlog or fills memory last. */
export const SECTIONS: readonly Section[] = [
  {
    name: 'warm',
    what: 'warm calls, closed loop, 1 and 32 connections, beside bare servers and workerd',
    run: async ({ subjects, extent, say }) => ({
      rounds: await runRounds(await subjects(), {
        ...extent,
        onRound: (n) => say(`  round ${n + 1} of ${extent.rounds}`),
      }),
    }),
  },
  {
    name: 'open',
    what: 'warm calls, open loop at fixed rates',
    run: async ({ subjects, extent }) => ({ open: await runOpenRates(await subjects(), extent.openMs) }),
  },
  {
    name: 'gap',
    what: 'calls after the same idle gap: bare, warm, thawed; and how long a freeze takes',
    run: async ({ subjects, extent }) => {
      const all = await subjects()
      const paced = await runPaced(all, extent.gapCalls)
      return { paced, freezeUs: await freezeTimes(all.platform, 'frozen') }
    },
  },
  {
    name: 'starts',
    what: 'first calls: stem, stem with a large bundle, cold; a container for every call',
    run: async ({ subjects, extent }) => {
      const all = await subjects()
      const stem = await runStarts(all.platform, 'stemmed', extent.starts)
      await haveCodeCache(all.platform, 'large')
      const large = await runStarts(all.platform, 'large', Math.ceil(extent.starts / 2))
      const cold = await runStarts(all.platform, 'cold', extent.starts)
      return { stem, large, cold, containerPerCall: await runContainerPerCall(all, extent.openMs) }
    },
  },
  {
    name: 'launch',
    what: 'the steps of creating a sandbox',
    run: async ({ extent }) => ({ launchSteps: await measureLaunchSteps(extent.starts) }),
  },
  {
    name: 'burst',
    what: '100 calls at once to a cold function, a second function meanwhile',
    run: async ({ subjects, extent }) => ({
      burst: await runBursts(await subjects(), { bursts: extent.bursts, calls: 100 }),
    }),
  },
  {
    name: 'help',
    what: 'fn --help',
    run: async ({ subjects, extent }) => {
      const { platform } = await subjects()
      const helpMs: number[] = []
      for (let n = 0; n < extent.helps; n++) {
        const begun = performance.now()
        await platform.fn('--help')
        helpMs.push(performance.now() - begun)
      }
      return { helpMs }
    },
  },
  {
    name: 'limits',
    what: 'limits and metering, on and off',
    run: async ({ extent }) => ({ limitsCost: await measureLimitsCost(extent.limitsCalls) }),
  },
  {
    name: 'lane',
    what: 'the durable lane: acceptance beside BullMQ alone, start, throughput, many queues, synchronous calls beside it',
    run: async ({ extent, say }) => ({ lane: await runLane(extent, say) }),
  },
  {
    name: 'growth',
    what: 'one deploy, version, secret and near miss as functions, versions and secrets go from 1 to 10,000',
    run: async ({ extent, say }) => {
      const growth: GrowthCost[] = []
      for (const count of COUNTS.filter((one) => one <= extent.growthMost)) {
        growth.push(await measureGrowth(count, extent.growthChanges))
        say(`  ${count} of each`)
      }
      return { growth }
    },
  },
  {
    name: 'density',
    what: 'functions deployed and frozen until there are many; their memory',
    run: async ({ extent, say }) => ({
      density: await measureDensity({
        count: extent.density,
        frozenCount: extent.densityFrozen,
        onDeployed: (done) => {
          if (done % 100 === 0) say(`  ${done} functions`)
        },
      }),
    }),
  },
]
