// What every verb gets: streams, configuration, a client, styles; and the shape of a verb's module.
import type { Readable, Writable } from 'node:stream'
import type { Command } from 'commander'
import { type Client, type ClientAnswer, createClient } from '../client.ts'
import { type Config, parseConfig } from '../config.ts'
import { createProgress, type Progress } from '../output/progress.ts'
import { createStyle, type Style } from '../output/style.ts'
import { textFor } from '../output/terminal-text.ts'
import { programName, withProgram } from '../program-name.ts'
import { findToken } from '../token-source.ts'

/** The process's streams and place, injected. */
export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  readonly cwd: string
}
export type Environment = Readonly<Record<string, string | undefined>>

/** Options every verb takes, before or after its name. */
export interface GlobalOptions {
  readonly url?: string
  readonly namespace?: string
  readonly stateDir?: string
  readonly json?: boolean
}

export interface CommandContext {
  readonly io: Io
  readonly env: Environment
  /** For stdout. */
  readonly style: Style
  /** For stderr. */
  readonly errorStyle: Style
  readonly progress: Progress
  readonly globals: GlobalOptions
  /** Throws ConfigError. */
  config(): Config
  client(): Client
  /** Writes a line to stdout. */
  print(text: string): void
  /** Writes a line to stderr; commands in it as this user calls `fn`. */
  note(text: string): void
  /** The text with commands in it as this user calls `fn`. */
  typed(text: string): string
  /** With --json the body as it came; otherwise what `text` makes of it. */
  show(answer: ClientAnswer, text: (json: unknown) => string): void
  /** The exit status, when it is not 0. */
  exit(status: number): void
}

/** A file in commands/: adds arguments, options, examples and action to its verb. */
export interface CommandModule {
  define(command: Command, context: CommandContext): void
}

/** One per run; `globals` is asked when an action runs, so it knows flags on both sides of the verb. */
export function createContext(
  io: Io,
  env: Environment,
  globals: () => GlobalOptions,
  exit: (status: number) => void,
): CommandContext {
  const errorStyle = createStyle(io.stderr, env)
  const context: CommandContext = {
    io,
    env,
    style: createStyle(io.stdout, env),
    errorStyle,
    progress: createProgress(io.stderr, errorStyle),
    get globals() {
      return globals()
    },
    config: () => parseConfig(env, globals()),
    client() {
      const config = context.config()
      const namespace = config.isNamespaceGiven ? config.namespace : null
      return createClient({ url: config.url, namespace, ...findToken(config) })
    },
    print: (text) => void io.stdout.write(`${textFor(io.stdout, text)}\n`),
    note: (text) => void io.stderr.write(`${textFor(io.stderr, context.typed(text))}\n`),
    typed: (text) => withProgram(text, programName(env, io.cwd)),
    show(answer, text) {
      if (context.globals.json) context.print(answer.text.replace(/\n$/, ''))
      else context.print(text(answer.json))
    },
    exit,
  }
  return context
}

/** Adds an examples section to a verb's help. */
export function examples(command: Command, lines: readonly string[]): void {
  command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`)
}
