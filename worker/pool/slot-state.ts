// The states of a slot and the moves between them, as data. Knows no sandbox; illegal moves throw.
//
//   starting ──▶ stem ──▶ loading ──▶ idle ◀──▶ frozen        any ──▶ gone
//       └────────────────────▲         ▲│          │
//                                      │▼          │
//                                     busy ◀───────┘  (busy ──▶ busy: calls that overlap)
import type { SlotState } from '../api.ts'

const NEXT = {
  starting: ['stem', 'loading', 'gone'],
  stem: ['loading', 'gone'],
  loading: ['idle', 'gone'],
  idle: ['busy', 'frozen', 'gone'],
  frozen: ['busy', 'idle', 'gone'],
  busy: ['idle', 'busy', 'gone'],
  gone: [],
} as const satisfies Record<SlotState, readonly SlotState[]>

/** All states, in the order of a slot's life. */
export const SLOT_STATES = Object.keys(NEXT) as readonly SlotState[]

/** An illegal move of a slot: a bug of the platform. */
export class SlotStateError extends Error {
  readonly code = 'ERR_SLOT_STATE'
  constructor(from: SlotState, to: SlotState) {
    super(`a slot cannot go from ${from} to ${to}`)
    this.name = 'SlotStateError'
  }
}

export function canMove(from: SlotState, to: SlotState): boolean {
  return (NEXT[from] as readonly SlotState[]).includes(to)
}

/** Returns `to`. Throws SlotStateError with both names when the move is not in the table. */
export function move(from: SlotState, to: SlotState): SlotState {
  if (!canMove(from, to)) throw new SlotStateError(from, to)
  return to
}
