import { describe, expect, test } from 'vitest'
import { figuresOf } from '../../../bench/figures.ts'
import { HELP, parseOptions, UsageError } from '../../../bench/options.ts'
import { SECTIONS } from '../../../bench/sections.ts'

describe('the command line of the bench', () => {
  test('without flags everything is measured and written, and nothing fails it', () => {
    expect(parseOptions([])).toMatchObject({ check: false, json: false, write: true })
    expect(parseOptions([])?.sections).toEqual(SECTIONS.map((section) => section.name))
  })

  test('parts are chosen by name, and their extent by flags', () => {
    const options = parseOptions(['--only', 'warm, gap', '--rounds', '8', '--no-write'])
    expect(options).toMatchObject({ sections: ['warm', 'gap'], write: false, extent: { rounds: 8 } })
  })

  test('help names every part', () => {
    expect(parseOptions(['--help'])).toBeNull()
    for (const { name } of SECTIONS) expect(HELP).toContain(name)
  })

  test.each([
    [['--only', 'wram'], /--only: expected some of warm, .*got "wram"/],
    [['--rounds', '0'], /--rounds: expected a whole number from 1 to 100, got "0"/],
    [['--density', 'many'], /--density: expected a whole number from 1 to 1000, got "many"/],
    [['--qiuck'], /'--qiuck'.*--help/],
  ])('%j is refused with one clear sentence', (args, message) => {
    expect(() => parseOptions(args)).toThrow(UsageError)
    expect(() => parseOptions(args)).toThrow(message)
  })
})

test('a run of one part leaves the figures of the others unmeasured', () => {
  const measured = Object.values(figuresOf({ readyMs: 700 })).filter((figure) => figure !== null)
  expect(measured).toEqual([700])
})
