import { describe, expect, test } from 'vitest'
import type { SandboxState } from '../../../../runtime/api.ts'
import { canMove, move } from '../../../../runtime/sandbox/state.ts'

const STATES: SandboxState[] = ['creating', 'running', 'frozen', 'stopped']
const LEGAL = [
  'creating→running',
  'running→frozen',
  'frozen→running',
  'creating→stopped',
  'running→stopped',
  'frozen→stopped',
]
const pairs = STATES.flatMap((from) => STATES.map((to) => [from, to] as const))

describe('states of a sandbox', () => {
  test.each(pairs)('from %s to %s is as the table says', (from, to) => {
    const legal = LEGAL.includes(`${from}→${to}`)
    expect(canMove(from, to)).toBe(legal)
    if (legal) expect(move(from, to)).toBe(to)
    else expect(() => move(from, to)).toThrow(`from ${from} to ${to}`)
  })

  test('an illegal move has a stable code', () => {
    expect(() => move('stopped', 'running')).toThrow(expect.objectContaining({ code: 'SANDBOX_STATE' }))
  })
})
