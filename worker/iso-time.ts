// Instants as text. A busy host writes several for each call, most of them in the same minute: its text is kept.

const MINUTE_MS = 60_000
/** The text up to the minute written last. */
const latest = { minute: Number.NaN, text: '' }

/** RFC 3339 UTC with ms. */
export function isoTime(wallMs: number): string {
  const whole = Math.floor(wallMs)
  const minute = Math.floor(whole / MINUTE_MS)
  if (minute !== latest.minute) {
    latest.text = new Date(minute * MINUTE_MS).toISOString().slice(0, 17)
    latest.minute = minute
  }
  const restMs = whole - minute * MINUTE_MS
  const seconds = Math.floor(restMs / 1000)
  const ms = restMs - seconds * 1000
  return `${latest.text}${seconds < 10 ? '0' : ''}${seconds}.${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`
}
