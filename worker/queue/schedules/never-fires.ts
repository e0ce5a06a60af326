// Cron expressions whose dates do not exist (30 February). croner looks for those through thousands of years, which stops the event
// loop for a fifth of a second; here it costs nothing. Pure.

const LONGEST = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC']

/** True when no month has such a day. False also when that is not clear: croner decides then. `expression`: 5 or 6 fields. */
export function neverFires(expression: string): boolean {
  const [month, week, day] = lastThree(expression)
  if (month === undefined || week === undefined || day === undefined) return false
  // Either of the two days is enough, unless the day of the week is any, or has a + (both).
  const isAny = week === '*' || week === '?'
  if (!isAny && !week.startsWith('+')) return false
  const days = numbersOf(day, 1, 31)
  const months = numbersOf(month.toUpperCase().replace(/[A-Z]{3}/g, monthNumber), 1, 12)
  if (days === null || months === null) return false
  const [first, last] = isAny ? [1, 31] : windowOf(week)
  return !months.some((one) => days.some((at) => at >= first && at <= last && at <= LONGEST[one - 1]!))
}

function lastThree(expression: string): readonly (string | undefined)[] {
  const fields = expression.trim().split(/\s+/)
  if (fields.length !== 5 && fields.length !== 6) return []
  const [day, month, week] = fields.slice(-3)
  return [month, week, day]
}

/** Days on which the n-th (`#2`) or last (`L`) such day of a week can be. */
function windowOf(week: string): readonly [number, number] {
  const nth = [...week.matchAll(/#(\d)/g)].map(([, digit]) => Number(digit))
  if (nth.length > 0 && !week.includes(',')) return [7 * nth[0]! - 6, 7 * nth[0]!]
  return /#?L$/i.test(week) && !week.includes(',') ? [22, 31] : [1, 31]
}

function monthNumber(name: string): string {
  const index = MONTHS.indexOf(name)
  return index < 0 ? name : String(index + 1)
}

/** What a field of numbers, ranges and steps stands for; null when it is something else. */
function numbersOf(field: string, lowest: number, highest: number): number[] | null {
  const numbers = new Set<number>()
  for (const part of field.split(',')) {
    const match = /^(?:(\*|\?)|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part)
    if (match === null) return null
    const [, any, from, to, step] = match
    const begin = any === undefined ? Number(from) : lowest
    const end = any !== undefined || (to === undefined && step !== undefined) ? highest : Number(to ?? from)
    const by = Math.max(1, Number(step ?? 1))
    for (let value = Math.max(begin, lowest); value <= Math.min(end, highest); value += by) numbers.add(value)
  }
  return [...numbers]
}
