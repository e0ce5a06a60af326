// Fenced blocks of the project's Markdown files, with where they stand. Reads; runs nothing.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Block {
  /** Path below the project's root. */
  readonly file: string
  /** Of its opening fence, from 1. */
  readonly line: number
  /** The first word of the opening fence: `sh`, `ts`, `json`; `text` or empty: output, a diagram. */
  readonly language: string
  /** The second word: the file that a reader saves it as; null: none. */
  readonly fileName: string | null
  readonly text: string
  /** The heading it stands under. */
  readonly heading: string
}

/** Pages whose command blocks are run from top to bottom against a platform. Of all others the commands are only compared with
 *  what the verbs accept. */
export const RUN_PAGES = ['README.md', 'docs/durable.md', 'docs/handler.md', 'docs/http-api.md', 'docs/migration.md']

/** Blocks of those pages that are not run: each holds this text. */
export const NOT_RUN: readonly { readonly file: string; readonly text: string; readonly reason: string }[] = [
  { file: 'README.md', text: 'npm start', reason: 'installs packages and stays; npm run test:fresh does it' },
  {
    file: 'README.md',
    text: 'export default fromNode(app)',
    reason: 'shows forms side by side; docs/handler.md runs each',
  },
]

/** The README and every page of docs/. */
export function documentsOf(root: string): string[] {
  const pages = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
  return ['README.md', ...pages.sort().map((name) => join('docs', name))]
}

/** The blocks of a page, in its order. */
export function blocksOf(root: string, file: string): Block[] {
  const blocks: Block[] = []
  let heading = ''
  let open: { line: number; words: string[]; lines: string[] } | null = null
  readFileSync(join(root, file), 'utf8')
    .split('\n')
    .forEach((text, index) => {
      const fence = /^ *```(.*)$/.exec(text)
      if (fence === null) {
        if (open !== null) open.lines.push(text)
        else heading = /^#+ (.*)$/.exec(text)?.[1] ?? heading
      } else if (open === null) open = { line: index + 1, words: fence[1]!.trim().split(/\s+/), lines: [] }
      else {
        const { line, words, lines } = open
        const [language = '', fileName = null] = words
        blocks.push({ file, heading, line, language, fileName, text: `${lines.join('\n')}\n` })
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
