// The command line of `npm run fault`: what it makes of options, and one sentence for each mistake.
import { describe, expect, test } from 'vitest'
import { FAULT_KINDS } from '../../fault/faults.ts'
import { campaignsOf, type FaultOptions, parseOptions, UsageError, usage } from '../../fault/options.ts'

function parsed(...args: string[]): FaultOptions {
  const options = parseOptions(args)
  if (options === null) throw new Error('help was asked for')
  return options
}
function names(options: FaultOptions): string[] {
  return campaignsOf(options).map(({ house, kinds }) => `${house}: ${kinds.map(({ name }) => name).join(', ')}`)
}

test('without options there is one campaign for each kind in each house where it can strike', () => {
  const options = parsed()
  expect(options).toMatchObject({ calls: 5000, kills: 50, clients: 16, mixed: false, json: false })
  expect(names(options)).toHaveLength(FAULT_KINDS.flatMap(({ houses }) => houses).length)
})

test('kinds, house and --mixed choose campaigns', () => {
  expect(names(parsed('--kinds', 'redis,worker'))).toEqual(['together: redis', 'apart: redis', 'apart: worker'])
  expect(names(parsed('--kinds', 'redis,disk', '--mixed'))).toEqual(['together: redis, disk', 'apart: redis'])
  expect(names(parsed('--house', 'together', '--kinds', 'worker'))).toEqual([])
})

test('a seed is kept, and chosen when none is given', () => {
  expect(parsed('--seed', '7').seed).toBe(7)
  expect(parsed().seed).toBeGreaterThanOrEqual(0)
})

test('help is asked for with --help or -h and names every kind', () => {
  expect([parseOptions(['--help']), parseOptions(['-h'])]).toEqual([null, null])
  for (const { name } of FAULT_KINDS) expect(usage()).toContain(name)
})

describe('a mistake is said in one sentence', () => {
  test.each([
    [['--calls', 'many'], '--calls: expected a whole number from 1 to 1000000, got "many"'],
    [['--clients', '0'], '--clients: expected a whole number from 1 to 256, got "0"'],
    [['--seed', '-1x'], '--seed'],
    [['--kinds', 'fire'], /--kinds: expected some of sandbox, .*, got "fire"/],
    [['--house', 'garden'], '--house: expected together or apart, got "garden"'],
    [['--what'], '--what'],
    [['stray'], 'stray'],
  ])('%j', (args, message) => {
    expect(() => parseOptions(args)).toThrow(UsageError)
    expect(() => parseOptions(args)).toThrow(message)
  })
})
