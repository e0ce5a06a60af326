// States of a sandbox and the moves between them: a table and one total function. Knows nothing of processes or cgroups.
import type { SandboxState } from '../api.ts'
import { RuntimeError } from '../errors.ts'

const NEXT = {
  creating: ['running', 'stopped'],
  running: ['frozen', 'stopped'],
  frozen: ['running', 'stopped'],
  stopped: [],
} as const satisfies Record<SandboxState, readonly SandboxState[]>

/** Whether the table has the move. */
export function canMove(from: SandboxState, to: SandboxState): boolean {
  return (NEXT[from] as readonly SandboxState[]).includes(to)
}

/** Returns `to`. Throws RuntimeError `SANDBOX_STATE` naming both for a move the table does not have. */
export function move(from: SandboxState, to: SandboxState): SandboxState {
  if (canMove(from, to)) return to
  throw new RuntimeError('SANDBOX_STATE', `a sandbox cannot go from ${from} to ${to}`)
}
