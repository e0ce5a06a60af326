// Reads a trace of calls per minute, in the shape of the Azure Functions trace 2019: `N_inv.csv` and beside it, where there is
// one, `N_mem.csv`. Refuses what it cannot read with file, line, expected and got; simulates nothing.
import { existsSync, readFileSync } from 'node:fs'

/** One function of a trace. */
export interface TracedFunction {
  readonly name: string
  /** Calls in each minute. */
  readonly calls: Uint32Array
  readonly memoryMb: number
}

/** A trace; all functions have as many minutes. */
export interface Trace {
  readonly functions: readonly TracedFunction[]
  readonly minutes: number
  /** What was assumed where the files say nothing, a sentence each. */
  readonly notes: readonly string[]
}

/** A file that is no such trace; the message is for the user. */
export class TraceError extends Error {
  override readonly name = 'TraceError'
}

/** Median of the trace's applications (Serverless in the Wild, ATC'20, figure 8), for a sample without any figure of its own. */
export const TYPICAL_MB = 170
const HIGHEST_COUNT = 2 ** 32 - 1

/** Reads the trace at `path`. Throws TraceError. */
export function readTrace(path: string): Trace {
  const rows = tableOf(path, (header) => void minuteColumns(header, path))
  const minutes = minuteColumns(rows.header, path)
  const notes: string[] = []
  const memory = readMemory(path, notes)
  const nameAt = rows.header.findIndex((name) => /^hashfunction$/i.test(name))
  const appAt = rows.header.findIndex((name) => /^hashapp$/i.test(name))
  let missing = 0
  const functions = rows.lines.map(({ fields, line }) => {
    const calls = new Uint32Array(minutes.length)
    for (const [minute, column] of minutes.entries()) {
      calls[minute] = countOf(fields[column] ?? '', `${path}:${line}`, rows.header[column]!)
    }
    const known = memory.ofApp.get(fields[appAt] ?? '')
    if (known === undefined) missing++
    const name = fields[nameAt] ?? `line ${line}`
    return { name, calls, memoryMb: known ?? memory.medianMb }
  })
  if (functions.length === 0) throw new TraceError(`${path}: expected one function a line, got a header alone`)
  if (missing > 0)
    notes.push(`${missing} of ${functions.length} functions have no memory figure: ${memory.medianMb} MB`)
  return { functions, minutes: minutes.length, notes }
}

interface Table {
  readonly header: readonly string[]
  /** `line` counts from 1, the header included. */
  readonly lines: readonly { readonly fields: readonly string[]; readonly line: number }[]
}

/** `check` looks at the header before the lines are measured by it. */
function tableOf(path: string, check: (header: readonly string[]) => void = () => {}): Table {
  const [first = '', ...rest] = textOf(path)
    .replace(/^\uFEFF/, '')
    .split('\n')
  const header = fieldsOf(first)
  check(header)
  const lines = rest.flatMap((text, index) => (text.trim() === '' ? [] : [{ fields: fieldsOf(text), line: index + 2 }]))
  for (const { fields, line } of lines) {
    if (fields.length === header.length) continue
    throw new TraceError(
      `${path}:${line}: expected ${header.length} fields as in the header, got ${fields.length}: the file may be cut off`,
    )
  }
  return { header, lines }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'this is a folder' : String(error)
    throw new TraceError(`${path}: ${why}; expected a CSV file such as 200_inv.csv`)
  }
}

function fieldsOf(line: string): string[] {
  return line.split(',').map((field) => field.trim().replace(/^"(.*)"$/, '$1'))
}

/** The columns of the minutes, in order of time: `minute_1 …`, or `1 …` as the original trace names them. */
function minuteColumns(header: readonly string[], path: string): number[] {
  const columns: number[] = []
  for (const [column, name] of header.entries()) {
    const number = /^(?:minute_)?(\d+)$/i.exec(name)?.[1]
    if (number === undefined) continue
    const minute = Number(number)
    if (minute < 1 || minute > header.length || columns[minute - 1] !== undefined) {
      throw new TraceError(`${path}:1: expected columns minute_1, minute_2 … once each, got "${name}"`)
    }
    columns[minute - 1] = column
  }
  if (columns.length === 0) {
    const got = header.slice(0, 4).join(',').slice(0, 60)
    throw new TraceError(`${path}:1: expected a header with columns minute_1, minute_2 …, got "${got}"`)
  }
  for (let minute = 0; minute < columns.length; minute++) {
    if (columns[minute] === undefined) throw new TraceError(`${path}:1: the column minute_${minute + 1} is missing`)
  }
  return columns
}

function countOf(text: string, where: string, column: string): number {
  const count = text === '' ? Number.NaN : Number(text)
  if (Number.isInteger(count) && count >= 0 && count <= HIGHEST_COUNT) return count
  throw new TraceError(`${where}: ${column}: expected a number of calls, got "${text.slice(0, 40)}"`)
}

/** Megabytes by application, and the median of them. */
function readMemory(path: string, notes: string[]): { ofApp: ReadonlyMap<string, number>; medianMb: number } {
  const ofApp = new Map<string, number>()
  const beside = path.replace(/_inv\.csv$/i, '_mem.csv')
  if (beside === path || !existsSync(beside)) {
    notes.push(`no memory file (${beside === path ? 'N_mem.csv beside N_inv.csv' : beside})`)
    return { ofApp, medianMb: TYPICAL_MB }
  }
  const { header, lines } = tableOf(beside)
  const appAt = header.findIndex((name) => /^hashapp$/i.test(name))
  const mbAt = header.findIndex((name) => /^averageallocatedmb$/i.test(name))
  if (appAt < 0 || mbAt < 0) {
    throw new TraceError(
      `${beside}:1: expected columns HashApp and AverageAllocatedMb, got "${header.slice(0, 4).join(',')}"`,
    )
  }
  for (const { fields, line } of lines) {
    const text = fields[mbAt]!
    const mb = text === '' ? Number.NaN : Number(text)
    if (text !== '' && !(mb >= 0 && Number.isFinite(mb))) {
      throw new TraceError(`${beside}:${line}: AverageAllocatedMb: expected megabytes, got "${text.slice(0, 40)}"`)
    }
    if (mb > 0) ofApp.set(fields[appAt]!, mb)
  }
  const sorted = [...ofApp.values()].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const medianMb = ((sorted[Math.ceil(middle) - 1] ?? TYPICAL_MB) + (sorted[Math.floor(middle)] ?? TYPICAL_MB)) / 2
  return { ofApp, medianMb }
}
