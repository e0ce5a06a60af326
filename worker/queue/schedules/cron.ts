// When a cron expression fires in a time zone. The one user of croner; keeps no timer: instants in, instants out.
//
// A change of the clocks: a fixed time that does not exist fires at the end of the gap, one that exists twice fires the first
// time; expressions with `*` or steps go on by real time (twice through the repeated hour, never in the gap), as Vixie cron does.
import { Cron } from 'croner'
import { QueueError } from '../api.ts'
import { neverFires } from './never-fires.ts'

export interface CronTimes {
  /** The first instant after `ms`; null: never again. */
  after(ms: number): number | null
  /** The last instant at or before `ms`; null: never before. */
  upTo(ms: number): number | null
}

const EXAMPLE = 'e.g. "0 3 * * *" (daily at 03:00), "*/10 * * * * *" (every 10 s)'
const MAX_CHARS = 200
const SECOND = 1_000

/** Throws QueueError SCHEDULE_INVALID when the expression or the zone is not valid, or it never fires after `nowMs`. */
export function parseCron(expression: string, timeZone: string, nowMs: number): CronTimes {
  checkTimeZone(timeZone)
  const invalid = (reason: string, cause?: unknown) =>
    new QueueError('SCHEDULE_INVALID', `cron ${shown(expression)}: ${reason}; ${EXAMPLE}`, { cause })
  const fields = expression.trim().split(/\s+/).length
  const nickname = fields === 1 && expression.trim().startsWith('@')
  if (expression.length > MAX_CHARS) throw invalid(`expected at most ${MAX_CHARS} characters`)
  if (!nickname && fields !== 5 && fields !== 6)
    throw invalid(`expected 5 fields, or 6 with seconds first, got ${expression.trim() === '' ? 'none' : fields}`)
  if (neverFires(expression)) throw invalid('it never fires')
  let cron: Cron
  try {
    cron = new Cron(expression, {
      timezone: timeZone,
      mode: '5-or-6-parts',
      paused: true,
      fixedTimeRule: 'no-wildcard',
    })
  } catch (error) {
    throw invalid(reasonOf(error as Error), error)
  }
  const times: CronTimes = {
    after: (ms) => cron.nextRun(new Date(ms))?.getTime() ?? null,
    // croner counts whole seconds, and a run at the reference itself is not before it.
    upTo: (ms) => cron.previousRuns(1, new Date(Math.floor(ms / SECOND) * SECOND + SECOND))[0]?.getTime() ?? null,
  }
  if (times.after(nowMs) === null) throw invalid('it never fires')
  return times
}

function checkTimeZone(timeZone: string): void {
  const isName = /^[A-Za-z][A-Za-z0-9_+/-]*$/.test(timeZone) && timeZone.length <= 64
  try {
    if (isName) {
      new Intl.DateTimeFormat('en', { timeZone })
      return
    }
  } catch {
    // refused below
  }
  throw new QueueError(
    'SCHEDULE_INVALID',
    `timeZone: expected an IANA time zone such as Europe/Zurich or UTC, got ${shown(timeZone)}`,
  )
}

/** croner names its own class first. */
function reasonOf(error: Error): string {
  const text = error.message.replace(/^Cron\w*:\s*/, '').replace(/\.$/, '')
  return text.charAt(0).toLowerCase() + text.slice(1)
}

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text)
}
