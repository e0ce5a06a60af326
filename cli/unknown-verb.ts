// What to say of a verb that does not exist: the verb meant, where the word is clear. Pure.
import { suggest } from '../worker/registry/suggest.ts'
import { VERBS } from './verbs.ts'

/** Words of other tools for what a verb does here. */
const SAME: Readonly<Record<string, string>> = {
  list: 'ls',
  functions: 'ls',
  delete: 'rm',
  remove: 'rm',
  destroy: 'rm',
  undeploy: 'rm',
  call: 'invoke',
  publish: 'deploy',
  create: 'deploy',
  push: 'deploy',
  update: 'deploy',
  show: 'get',
  describe: 'get',
  inspect: 'get',
  start: 'up',
  serve: 'up',
  server: 'up',
  tail: 'logs',
  log: 'logs',
  sandboxes: 'ps',
  containers: 'ps',
  status: 'doctor',
  check: 'doctor',
  settings: 'config',
  env: 'config',
  cron: 'schedule',
  schedules: 'schedule',
  invocations: 'jobs',
  queue: 'jobs',
  cancel: 'jobs cancel ID',
  abort: 'jobs cancel ID',
  result: 'get invocation ID',
  record: 'get invocation ID',
  dlq: 'dead-letters',
  unpause: 'resume',
  unfreeze: 'thaw',
}

/** Parts of the surface that do not exist yet. */
const LATER: ReadonlySet<string> = new Set(
  'app attach backup box build commit context cp dev diff domain events exec fork git history image init inspect install-service login logout open profile prune pull push rename rerun restore run save scan snapshot stats top tune update upgrade-check wait'.split(
    ' ',
  ),
)

/** Verbs that end or remove something: a guess must never lead to one. */
const HARMFUL: ReadonlySet<string> = new Set(['rm', 'kill', 'restart', 'rollback', 'pause', 'freeze'])

/** One hint for an unknown verb: another word for it, a near one, or the list. */
export function hintForVerb(word: string): string {
  const same = Object.hasOwn(SAME, word.toLowerCase()) ? SAME[word.toLowerCase()] : undefined
  if (same !== undefined) return `here that is: fn ${same}`
  if (LATER.has(word)) return 'it is planned and not built yet; what there is: fn --help'
  const near = suggest(
    word,
    VERBS.map(({ name }) => name).filter((name) => !HARMFUL.has(name)),
  )
  return near === null ? 'all verbs: fn --help' : `did you mean: fn ${near}? All verbs: fn --help`
}
