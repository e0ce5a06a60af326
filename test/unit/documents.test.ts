// What can be said of the documents without a platform: the reference is current, flags in commands exist, samples parse, links
// lead somewhere. test/e2e/documents.test.ts runs what can be run.
import { existsSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { commandReference, REFERENCE_PATH } from '../../cli/reference.ts'
import { VERBS } from '../../cli/verbs.ts'
import { type Block, blocksOf, documentsOf, NOT_RUN, RUN_PAGES } from '../support/document.ts'
import { runFn } from '../support/run-fn.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
const PAGES = documentsOf(ROOT)
const LANGUAGES = ['sh', 'ts', 'json', 'text', '']

const helps = new Map<string, Promise<string>>()
function helpOf(words: readonly string[]): Promise<string> {
  const key = words.join(' ')
  const known = helps.get(key) ?? runFn([...words, '--help']).then(({ stdout }) => stdout)
  helps.set(key, known)
  return known
}

/** Words after `fn` or `bin/fn` of each command in a block of commands or of plain text. */
function commandsOf({ text }: Block): string[][] {
  return [...text.matchAll(/(?:^|[;|]|\bdo )\s*(?:bin\/)?fn ([a-z].*?)(?=$|;|\||\\$)/gm)].map(([, line = '']) =>
    line.replace(/'[^']*'|"[^"]*"/g, 'QUOTED').split(/\s+/),
  )
}

/** What is wrong with a command's verb and flags; empty: nothing. */
async function faultsOf(words: readonly string[]): Promise<string[]> {
  const [verb = '', part = ''] = words
  if (!VERBS.some(({ name }) => name === verb)) return [`no verb ${verb}`]
  const own = await helpOf([verb])
  const isPart = new RegExp(`^ {2}${part}\\b`, 'm').test(/\nCommands:\n[\s\S]*/.exec(own)?.[0] ?? '')
  const help = isPart && /^\w/.test(part) ? own + (await helpOf([verb, part])) : own
  const flags = words.filter((word) => word.startsWith('--') && word !== '--').map((word) => word.split('=')[0]!)
  return flags.filter((flag) => !new RegExp(`${flag}\\b`).test(help)).map((flag) => `fn ${verb}: no flag ${flag}`)
}

test('docs/cli.md is what the commands say of themselves (npm run docs writes it)', async () => {
  expect(await commandReference()).toBe(readFileSync(REFERENCE_PATH, 'utf8'))
})

describe.each(PAGES)('%s', (page) => {
  const blocks = blocksOf(ROOT, page)

  test('names in its commands only verbs and flags that exist', async () => {
    const shown = blocks.filter(({ language }) => language === 'sh' || language === '')
    for (const block of shown) {
      for (const words of commandsOf(block)) expect(await faultsOf(words), `${page}:${block.line}`).toEqual([])
    }
  })

  test('has samples that parse', () => {
    for (const { language, text, line } of blocks) {
      expect(LANGUAGES, `${page}:${line}: a block of ${language}`).toContain(language)
      const isShape = NOT_RUN.some((one) => one.file === page && text.includes(one.text))
      if (language === 'json') expect(() => JSON.parse(text), `${page}:${line}`).not.toThrow()
      if (language === 'ts' && !isShape) expect(() => stripTypeScriptTypes(text), `${page}:${line}`).not.toThrow()
    }
  })

  test('has links that lead somewhere', () => {
    const text = readFileSync(join(ROOT, page), 'utf8')
    const links = [...text.matchAll(/\]\((?!https?:)([^)#\s]+)[^)]*\)/g)].map((match) => match[1]!)
    for (const link of links) expect(existsSync(join(ROOT, dirname(page), link)), `${page}: ${link}`).toBe(true)
  })
})

test('of the pages that are run, every sample is a file or data, and nothing is left out without a reason', () => {
  for (const { file, text, reason } of NOT_RUN) {
    expect(reason).not.toBe('')
    expect(
      blocksOf(ROOT, file).some((block) => block.text.includes(text)),
      `${file}: ${text}`,
    ).toBe(true)
  }
  for (const page of RUN_PAGES) {
    const samples = blocksOf(ROOT, page).filter(({ language }) => language === 'ts')
    for (const { text, fileName, line } of samples) {
      const isShape = NOT_RUN.some((one) => one.file === page && text.includes(one.text))
      expect(fileName !== null || isShape, `${page}:${line} has no file name`).toBe(true)
    }
  }
})

test('every verb has examples in its help', async () => {
  for (const { name } of VERBS) {
    const own = await helpOf([name])
    const parts = [...(/\nCommands:\n((?: {2}.*\n?)+)/.exec(own)?.[1] ?? '').matchAll(/^ {2}(\w[\w-]*)/gm)]
    const helps = await Promise.all(
      parts.filter(([, part]) => part !== 'help').map(([, part]) => helpOf([name, part!])),
    )
    expect(
      [own, ...helps].some((text) => text.includes('Examples:')),
      `fn ${name} --help`,
    ).toBe(true)
  }
})
