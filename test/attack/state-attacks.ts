// Attacks on who comes after, or beside: what one call leaves for the next, one sandbox for another. state.test.ts proves each.
import type { Attack } from './attacks.ts'

const row = <const Id extends string>(id: Id, tries: string, contained: string): Attack & { readonly id: Id } => {
  return { id, family: 'state', tries, contained }
}

export const STATE_ATTACKS = [
  row(
    'next-call',
    'leave variables, files in /tmp and processes for the next call of the same function',
    'the next call may see them: by default a function’s calls share its sandboxes. With `isolation: "call"` every call has a fresh one and sees nothing',
  ),
  row(
    'other-functions',
    'leave them for another function, another version, another namespace',
    'never in one sandbox, stem or uid range at the same time',
  ),
  row(
    'after-response',
    'work on after the response (timers, children) without being charged',
    'runs until the sandbox is frozen, after its grace; what it used is `idleCpuUs` of the next record. With `leftovers: "kill"` the sandbox is destroyed before the next call',
  ),
  row(
    'orphans',
    'outlive the sandbox in a child that was forked twice',
    'dies with the sandbox: killed through the cgroup',
  ),
] as const
