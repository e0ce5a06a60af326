// What a campaign has to say: one row each, and every sentence of what is not clean. Pure.
import type { CampaignResult } from './campaign.ts'
import type { HouseKind } from './house.ts'

const SHOWN = 20

export function reportOf(results: readonly CampaignResult[]): string {
  const header = [
    'faults',
    'struck',
    'calls',
    'acknowledged',
    'succeeded',
    'dead letters',
    'cancelled',
    'expired',
    'lost',
    'stuck',
    'unexpected',
    'duplicates',
    'unexplained',
    'ready again, ms (median / worst)',
    'runs again, ms (median / worst)',
  ]
  const rows = results.map(rowOf)
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`
  const table = [line(header), line(header.map(() => '---')), ...rows.map(line)]
  return [...table, ...results.flatMap(faultsOf)].join('\n')
}

function rowOf({ house, kinds, kills, account, backMs }: CampaignResult): (string | number)[] {
  return [
    nameOf(house, kinds),
    kills,
    account.submitted,
    account.acknowledged,
    account.succeeded,
    account.deadLettered,
    account.cancelled,
    account.expired,
    account.lost.length,
    account.stuck.length,
    account.unexpected.length,
    account.duplicates,
    account.unexplained.length,
    middleAndWorst(backMs),
    middleAndWorst(account.rerunMs),
  ]
}

function faultsOf({ house, kinds, seed, account, troubles, clean }: CampaignResult): string[] {
  if (clean) return []
  const said = (what: string, sentences: readonly string[]): string[] => [
    ...sentences.slice(0, SHOWN).map((sentence) => `  ${what}: ${sentence}`),
    ...(sentences.length > SHOWN ? [`  ${what}: and ${sentences.length - SHOWN} more`] : []),
  ]
  return [
    `not clean: ${nameOf(house, kinds)} (--seed ${seed})`,
    ...said('lost', account.lost),
    ...said('stuck', account.stuck),
    ...said('unexpected', account.unexpected),
    ...said('unexplained', account.unexplained),
    ...said('wrong', account.wrong),
    ...said('trouble', troubles),
  ]
}

export function nameOf(house: HouseKind, kinds: readonly string[]): string {
  return `${kinds.join(', ')}${house === 'apart' ? ' (apart)' : ''}`
}

function middleAndWorst(values: readonly number[]): string {
  if (values.length === 0) return '–'
  const sorted = [...values].sort((one, other) => one - other)
  return `${Math.round(sorted[Math.floor(sorted.length / 2)]!)} / ${Math.round(sorted.at(-1)!)}`
}
