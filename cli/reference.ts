// docs/cli.md, made of what the commands say of themselves: `npm run docs` writes it, a test compares. Knows no verb.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { main } from './main.ts'
import { VERBS } from './verbs.ts'

const COLUMNS = 100
export const REFERENCE_PATH = join(import.meta.dirname, '..', 'docs', 'cli.md')

/** The whole page. The same for everybody: no environment, no colours, one width. */
export async function commandReference(): Promise<string> {
  const sections = await Promise.all(VERBS.map(({ name }) => verbSection(name)))
  return [
    '# Command line',
    'What `fn --help` and the help of each verb say. Written by `npm run docs`; a test compares it with the commands. `bin/fn` is',
    'the same command in the project’s folder.',
    '',
    block(await help([])),
    '',
    sections.join('\n'),
    '## Settings',
    'Flags go over the environment, the environment over defaults; `fn config` shows the values in force.',
    '',
    await settingsTable(),
    '',
  ].join('\n')
}

async function verbSection(verb: string): Promise<string> {
  const own = await help([verb])
  const parts = await Promise.all(partsOf(own).map((part) => help([verb, part])))
  const texts = [own, ...parts].map((text) => block(withoutGlobals(text)))
  return `## fn ${verb}\n${texts.join('\n')}\n`
}

/** Verbs of a verb, from its help. */
function partsOf(text: string): string[] {
  const list = /\nCommands:\n((?: {2}.*\n?)+)/.exec(text)?.[1] ?? ''
  return [...list.matchAll(/^ {2}(\w[\w-]*)/gm)].map((match) => match[1]!).filter((name) => name !== 'help')
}

/** What holds for every verb is said once, at the top. */
function withoutGlobals(text: string): string {
  return text.replace(/\nGlobal Options:\n(?: .*\n?)+/, '')
}

function block(text: string): string {
  return `\`\`\`text\n${text.trimEnd()}\n\`\`\``
}

async function help(words: readonly string[]): Promise<string> {
  return await output([...words, '--help'])
}

async function settingsTable(): Promise<string> {
  const settings = JSON.parse(await output(['config', '--json'])) as Setting[]
  const rows = settings.map(({ name, unit, doc, default: value }) => {
    const given = value === '' ? '' : `\`${value.replace(PROJECT, '')}\``
    return `| \`${name}\` | ${given} | ${unit.replaceAll('|', ' or ')} | ${doc} |`
  })
  return ['| setting | default | unit | what |', '|---|---|---|---|', ...rows].join('\n')
}

const PROJECT = /^\/.*\/(?=\.fn$)/

interface Setting {
  readonly name: string
  readonly default: string
  readonly unit: string
  readonly doc: string
}

async function output(words: readonly string[]): Promise<string> {
  let text = ''
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString()
      done()
    },
  })
  const io = { stdout: Object.assign(stdout, { columns: COLUMNS }), stderr: stdout, stdin: process.stdin, cwd: '/' }
  await main(words, {}, io as unknown as Parameters<typeof main>[2])
  return text
}

if (import.meta.main) writeFileSync(REFERENCE_PATH, await commandReference())
