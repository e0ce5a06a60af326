// Turns esbuild's messages into the CLI's: file:line:column (columns from 1, in characters), the line, a marker, a hint.
import { existsSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import type { Message } from 'esbuild'
import { CliError } from '../errors.ts'
import { charactersBefore, isOfPackage } from './own-sources.ts'
import { findPackage, packageName } from './package-folder.ts'

/** Where messages' paths start (`folder`) and where the reader stands (`cwd`). */
export interface MessagePaths {
  readonly folder: string
  readonly cwd: string
}

/** One CliError BUNDLE_FAILED for everything esbuild found (the first ten messages in full). */
export function bundleError(messages: readonly Message[], paths: MessagePaths): CliError {
  const texts = [...new Set(messages.map((message) => formatMessage(message, paths)))]
  const shown = texts.slice(0, 10)
  if (texts.length > shown.length) shown.push(`… and ${texts.length - shown.length} more`)
  const hints = new Set(messages.flatMap((message) => hintFor(message, paths.folder)))
  return new CliError('BUNDLE_FAILED', texts.length === 1 ? 'the code does not bundle' : `${texts.length} errors`, {
    details: shown.join('\n\n'),
    hints: [...hints],
  })
}

/** `hello.ts:3:9: error text` and the line with a marker below it. */
export function formatMessage(message: Message, paths: MessagePaths): string {
  const { location } = message
  const text = plainText(message.text)
  if (location === null) return text
  const file = shownPath(location.file, location.namespace, paths)
  const before = location.line === 1 ? charactersBefore(location.lineText) : 0
  const lineText = location.lineText.slice(before)
  const column = characters(location.lineText, location.column) - before
  const lines = [`${file}:${location.line}:${column + 1}: ${text}`]
  if (lineText.length > 0 && lineText.length <= 400) {
    const gutter = String(location.line)
    const width = Math.max(1, characters(location.lineText, location.column + location.length) - before - column)
    const indent = lineText.slice(0, column).replace(/[^\t]/g, ' ')
    lines.push(`  ${gutter} | ${lineText}`, `  ${' '.repeat(gutter.length)} | ${indent}${'^'.repeat(width)}`)
  }
  for (const note of message.notes) {
    const at = note.location
    const where = at
      ? `${shownPath(at.file, at.namespace, paths)}:${at.line}:${characters(at.lineText, at.column) + 1}: `
      : ''
    // esbuild's advice on its own flags is of no use to somebody who never sees them.
    if (!/ as external | "--|esbuild/.test(note.text)) lines.push(`  ${where}${note.text}`)
  }
  return lines.join('\n')
}

function plainText(text: string): string {
  if (/^Top-level await is/.test(text)) return 'top-level await in a module that is required'
  const ending = /^No loader is configured for "(\.[^"]+)" files: (.+)$/.exec(text)
  if (ending)
    return `${ending[2]!.replace(/^.*\/node_modules\//, '')} cannot be imported: nothing says what a ${ending[1]} file is`
  return text
}

const AWAIT_HINT = 'a module with a top-level await can be imported, not required: use import, in an ES module'

function hintFor(message: Message, folder: string): string[] {
  if (/^No loader is configured/.test(message.text))
    return ["read it at run time: readFileSync(new URL('./FILE', import.meta.url)); it ships by itself"]
  if (/top-level await/i.test(message.text)) return [AWAIT_HINT]
  const name = /^Could not resolve "([^"]+)"/.exec(message.text)?.[1]
  if (name === undefined) return []
  if (/^(?:[@~]\/|#)/.test(name)) {
    const [kind, file] = name.startsWith('#') ? ['"imports"', 'package.json'] : ['"paths"', 'tsconfig.json']
    return [
      `${name} is a name of your project's own: ${kind} in the ${file} at or above ${folder} has to lead to a file that is there`,
    ]
  }
  const installable = packageName(name)
  if (installable === null) return []
  const linked = findPackage(installable, folder)
  if (linked !== null && !isOfPackage(linked))
    return [`${installable} is a package of your workspace (${linked}): is it built?`]
  if (isPlugAndPlay(folder))
    return [
      'Yarn keeps packages in archives here (Plug and Play), which cannot be read: set nodeLinker: node-modules in .yarnrc.yml and run yarn install',
    ]
  return [`is ${installable} installed? npm install ${installable}`]
}

/** Whether a project at or above `folder` is installed as Yarn's Plug and Play. */
function isPlugAndPlay(folder: string): boolean {
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, '.pnp.cjs'))) return true
    if (at === dirname(at)) return false
  }
}

function shownPath(file: string, namespace: string, paths: MessagePaths): string {
  if (namespace !== '' && namespace !== 'file') return file
  const fromCwd = relative(paths.cwd, resolve(paths.folder, file))
  return fromCwd.startsWith('..') ? resolve(paths.folder, file) : fromCwd
}

/** esbuild counts columns in bytes of UTF-8. */
function characters(line: string, bytes: number): number {
  return Buffer.from(line).subarray(0, bytes).toString().length
}
