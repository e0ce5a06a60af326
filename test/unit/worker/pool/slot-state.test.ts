import { describe, expect, test } from 'vitest'
import type { SlotState } from '../../../../worker/api.ts'
import { canMove, move, SLOT_STATES, SlotStateError } from '../../../../worker/pool/slot-state.ts'

const LEGAL: Readonly<Record<SlotState, string>> = {
  starting: 'stem loading gone',
  stem: 'loading gone',
  loading: 'idle gone',
  idle: 'frozen busy gone',
  frozen: 'idle busy gone',
  busy: 'idle busy gone',
  gone: '',
}

describe('the states of a slot', () => {
  for (const from of SLOT_STATES) {
    for (const to of SLOT_STATES) {
      const legal = LEGAL[from].split(' ').includes(to)
      test(`${from} → ${to} is ${legal ? 'made' : 'refused with both names'}`, () => {
        expect(canMove(from, to)).toBe(legal)
        if (legal) expect(move(from, to)).toBe(to)
        else expect(() => move(from, to)).toThrow(new SlotStateError(from, to))
      })
    }
  }
})
