// Parsers for arguments and options: what is wrong is told before anything runs (exit status 2).
import { InvalidArgumentError } from 'commander'
import { parseDurationMs, UnitError } from '../../runtime/api.ts'

/** A duration such as 250ms; kept as text. */
export function durationText(text: string): string {
  try {
    parseDurationMs(text)
    return text
  } catch (error) {
    if (error instanceof UnitError) throw new InvalidArgumentError(error.message)
    throw error
  }
}

/** A whole number from `min`. */
export function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < min) {
      throw new InvalidArgumentError(`expected a whole number from ${min}, got ${JSON.stringify(text)}`)
    }
    return value
  }
}

/** One of a few words. */
export function oneOf(...words: readonly string[]): (text: string) => string {
  return (text) => {
    if (!words.includes(text))
      throw new InvalidArgumentError(`expected ${words.join(' or ')}, got ${JSON.stringify(text)}`)
    return text
  }
}

/** Gathers a repeatable option. */
export function repeated(text: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), text]
}

/** A version number. */
export function versionNumber(text: string): number {
  return wholeNumber(1)(text.replace(/^v/, ''))
}

/** `Name: value`, an HTTP header. */
export function header(text: string, previous: readonly (readonly [string, string])[] | undefined): [string, string][] {
  const match = /^([!#$%&'*+\-.^_`|~\w]+)\s*:\s*(.*)$/.exec(text)
  if (!match) throw new InvalidArgumentError(`expected "Name: value", got ${JSON.stringify(text)}`)
  return [...((previous ?? []) as [string, string][]), [match[1]!, match[2]!.trimEnd()]]
}
