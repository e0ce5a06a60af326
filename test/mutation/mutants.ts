// The lines on which a promise hangs, each with one way to break it and the tests that must notice. A row whose `find` no longer
// stands exactly once in its file is stale, and main.ts says so.

import { FRONT_MUTANTS } from './rows/front.ts'
import { RUNTIME_MUTANTS } from './rows/runtime.ts'
import { WORKER_MUTANTS } from './rows/worker.ts'

export interface Mutant {
  /** What is broken, as a promise that no longer holds. */
  readonly breaks: string
  readonly file: string
  readonly find: string
  readonly replace: string
  readonly project: 'unit' | 'contract' | 'kernel'
  /** Test files, below test/<project>/. */
  readonly tests: readonly string[]
}

export const MUTANTS: readonly Mutant[] = [...RUNTIME_MUTANTS, ...WORKER_MUTANTS, ...FRONT_MUTANTS]
