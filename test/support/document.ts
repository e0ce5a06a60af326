// Fenced blocks of the project's Markdown files, with where they stand. Reads; runs nothing.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Block {
  /** Path below the project's root. */
  readonly file: string
  /** Of its opening fence, from 1. */
  readonly line: number
  /** What follows the opening fence: `sh`, `ts`, `json`; empty: output, a diagram. */
  readonly language: string
  readonly text: string
  /** The heading it stands under. */
  readonly heading: string
}

/** The README and every page of docs/. */
export function documentsOf(root: string): string[] {
  const pages = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
  return ['README.md', ...pages.sort().map((name) => join('docs', name))]
}

/** The blocks of a page, in its order. */
export function blocksOf(root: string, file: string): Block[] {
  const blocks: Block[] = []
  let heading = ''
  let open: { line: number; language: string; lines: string[] } | null = null
  readFileSync(join(root, file), 'utf8')
    .split('\n')
    .forEach((text, index) => {
      const fence = /^ *```(.*)$/.exec(text)
      if (fence === null) {
        if (open !== null) open.lines.push(text)
        else heading = /^#+ (.*)$/.exec(text)?.[1] ?? heading
      } else if (open === null) open = { line: index + 1, language: fence[1]!.trim(), lines: [] }
      else {
        blocks.push({ file, heading, line: open.line, language: open.language, text: `${open.lines.join('\n')}\n` })
        open = null
      }
    })
  return blocks
}

/** The commands of the README's tour, block by block. */
export function tourOf(root: string): string[] {
  return blocksOf(root, 'README.md')
    .filter(({ heading, language }) => heading.startsWith('A tour') && language === 'sh')
    .map(({ text }) => text)
}
