// The short form of `npm run fault`: every kind of fault a few times in one campaign, with the same clients and the same account.
import { expect, test } from 'vitest'
import { runCampaign } from '../fault/campaign.ts'
import { FAULT_KINDS } from '../fault/faults.ts'
import { reportOf } from '../fault/report.ts'

const SEED = 20_261_121

test('faults of every kind lose no acknowledged call, run none that nobody sent, and explain every second run', async () => {
  const lines: string[] = []
  const result = await runCampaign({
    house: 'together',
    kinds: FAULT_KINDS.filter(({ houses }) => houses.includes('together')),
    calls: 300,
    kills: 2,
    clients: 8,
    rate: 25,
    seed: SEED,
    limitMs: 90_000,
    scale: { fullDiskMs: 1_000, clockMs: 500 },
    say: (line) => lines.push(line),
  })
  expect(result.clean, `${lines.join('\n')}\n${reportOf([result])}`).toBe(true)
  expect(result.account.acknowledged).toBeGreaterThan(100)
  expect(result.kills).toBeGreaterThan(0)
}, 400_000)
