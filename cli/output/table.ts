// Plain tables for people: a header, columns as wide as their widest cell, two spaces between. Pure.
import { stripVTControlCharacters } from 'node:util'
import type { Style } from './style.ts'

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
}

/** Lines of a table, without trailing spaces; the last column is never padded. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[], style: Style): string {
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...rows.map((row) => visibleLength(row[index] ?? ''))),
  )
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, index) => {
        const cell = cells[index] ?? ''
        const space = ' '.repeat(Math.max(0, widths[index]! - visibleLength(cell)))
        return column.align === 'right' ? space + cell : cell + space
      })
      .join('  ')
      .trimEnd()
  const header = line(columns.map((column) => column.title))
  return [style.dim(header), ...rows.map(line)].join('\n')
}

/** `label  value` lines with the labels in one column; entries without a value are left out. */
export function formatPairs(pairs: readonly (readonly [string, string | null])[], style: Style): string {
  const shown = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== null)
  const width = Math.max(0, ...shown.map(([label]) => label.length))
  return shown.map(([label, value]) => `${style.dim(label.padEnd(width))}  ${value}`).join('\n')
}

function visibleLength(text: string): number {
  return stripVTControlCharacters(text).length
}
