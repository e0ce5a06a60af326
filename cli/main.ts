// `fn`: reads the command line, loads the one verb it names, runs it, and turns what went wrong into text and an exit status.
// Never ends the process: bin.ts does.
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { ClientError } from './client.ts'
import { createContext, type Environment, type GlobalOptions, type Io } from './commands/command.ts'
import { ConfigError } from './config.ts'
import { CliError, EXIT } from './errors.ts'
import { formatFailure } from './output/failure.ts'
import { createStyle } from './output/style.ts'
import { textFor } from './output/terminal-text.ts'
import { programName, withProgram } from './program-name.ts'
import { hintForVerb } from './unknown-verb.ts'
import { VERBS } from './verbs.ts'

/** Runs one command line (without the program's name). Resolves to the exit status: 0 done, 1 failed, 2 usage, 3 the function failed. */
export async function main(argv: readonly string[], env: Environment, io: Io): Promise<number> {
  let status: number = EXIT.done
  const program = createProgram(io, env)
  const context = createContext(
    io,
    env,
    () => program.opts<GlobalOptions>(),
    (code) => {
      status = code
    },
  )
  try {
    await addVerbs(program, argv, async (command, load) => (await load()).define(command, context))
    if (argv.length === 0) {
      program.outputHelp({ error: true })
      return EXIT.usage
    }
    program.on('command:*', ([word = '']: string[]) => {
      throw new CliError('USAGE', `unknown command ${JSON.stringify(word)}`, { hints: [hintForVerb(word)] })
    })
    await program.parseAsync([...argv], { from: 'user' })
    return status
  } catch (error) {
    context.progress.clear()
    return report(error, io, env, program.opts<GlobalOptions>().json === true)
  }
}

function createProgram(io: Io, env: Environment): Command {
  const errorStyle = createStyle(io.stderr, env)
  const typed = (text: string): string => withProgram(text, programName(env, io.cwd))
  const program = new Command('fn')
    .description('Runs functions in warm container sandboxes: frozen while idle, limited and metered per call.')
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [verb]', 'print help of a verb')
    .option('--url <url>', 'where the platform is (FN_URL)')
    .option('--namespace <name>', 'namespace of functions (FN_NAMESPACE)')
    .option('--state-dir <path>', 'state directory, where the token is (FN_STATE_DIR)')
    .option('--json', 'print the body of the HTTP answer, and nothing else')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(typed(text)),
      writeErr: (text) => void io.stderr.write(typed(text)),
      outputError: (text, write) => write(text.replace(/^error: /, `${errorStyle.red('fn:')} `)),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
      getOutHasColors: () => createStyle(io.stdout, env).isColorSupported,
      getErrHasColors: () => errorStyle.isColorSupported,
    })
    .showHelpAfterError('→ fn --help; the version: fn --version')
    .usage('VERB [options]')
    .configureHelp({
      showGlobalOptions: true,
      visibleGlobalOptions: (verb) => (verb.parent?.options ?? []).filter((option) => option.name() !== 'version'),
    })
  program.addHelpText(
    'after',
    [
      '',
      'Examples:',
      '  $ fn up',
      '  $ fn deploy ./hello.ts --memory 64m',
      '  $ fn invoke hello --data \'{"name": "Ada"}\' --meter',
      '',
      'Exit status: 0 done, 1 failed, 2 wrong usage, 3 the function failed.',
    ].join('\n'),
  )
  return program
}

/** Adds every verb; only those the command line names are loaded. */
async function addVerbs(
  program: Command,
  argv: readonly string[],
  define: (command: Command, load: (typeof VERBS)[number]['load']) => Promise<void>,
): Promise<void> {
  const named = new Set(argv)
  for (const { name, summary, group, load } of VERBS) {
    const command = program.command(name).summary(summary).description(sentence(summary)).helpGroup(`${group}:`)
    command.showHelpAfterError(`→ fn ${name} --help`)
    if (named.has(name)) await define(command, load)
  }
}

function report(error: unknown, io: Io, env: Environment, json: boolean): number {
  // Commander has printed its message already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
  const style = createStyle(io.stderr, env)
  const typed = (text: string): string => withProgram(text, programName(env, io.cwd))
  if (error instanceof ConfigError) {
    for (const problem of error.problems) io.stderr.write(typed(formatFailure(new CliError('USAGE', problem), style)))
    return EXIT.usage
  }
  if (json && error instanceof ClientError) io.stdout.write(`${textFor(io.stdout, error.body.trimEnd())}\n`)
  io.stderr.write(textFor(io.stderr, typed(formatFailure(error, style))))
  return error instanceof CliError ? error.exitCode : EXIT.failed
}

function sentence(summary: string): string {
  return `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`
}

function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
