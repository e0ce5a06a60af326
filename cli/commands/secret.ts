// `fn secret`: secrets of the namespace: set (from stdin or a file, never from the command line), ls, rm.
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { readBoundedFile } from '../bounded-file.ts'
import { CliError } from '../errors.ts'
import { ageText } from '../output/quantity.ts'
import { type CommandContext, examples } from './command.ts'
import { addListAndRemove, pathOf } from './named-things.ts'

/** A value and its line end. */
const MOST_FILE_BYTES = 64 * 1024 + 1

interface SecretAnswer {
  readonly name: string
  readonly updatedAt: string
  readonly functions: readonly string[]
}

export function define(command: Command, context: CommandContext): void {
  command.description(
    [
      'Secrets: encrypted where they are kept, plain only in sandboxes of functions that name them.',
      '',
      'A function takes one with fn deploy --secret NAME, or "secrets" in fn.json; it is then a variable of its environment.',
      'A value is kept byte for byte, a line end at its end too; --trim leaves that out.',
      'A new value needs no deploy: sandboxes are replaced as they become idle.',
    ].join('\n'),
  )
  examples(command, [
    'printf \'%s\' "$KEY" | fn secret set API_KEY',
    'fn secret set API_KEY --trim < key.txt',
    'fn secret set TLS_KEY --from-file key.pem',
    'fn secret ls',
    'fn secret rm API_KEY',
  ])
  command
    .command('set <name>')
    .summary('set or replace a secret; the value comes from stdin')
    .option('--from-file <path>', 'take the value from a file')
    .option('--trim', 'leave out one line end at the end')
    .action(async (name: string, options: { fromFile?: string; trim?: boolean }) => {
      const whole = options.fromFile === undefined ? await readInput(context) : readValue(options.fromFile, context)
      const value = options.trim ? withoutLineEnd(whole) : whole
      const answer = await context.client().request('PUT', pathOf('secrets', name), { body: value })
      context.show(answer, () => `${answer.status === 201 ? 'set' : 'replaced'} ${name}`)
      if (value.at(-1) === 10 && !context.globals.json)
        context.note('its value ends with a line end, as it was given; --trim leaves that out')
    })
  addListAndRemove<SecretAnswer>(command, context, {
    kind: 'secrets',
    help: { ls: 'list secrets, without values', rm: 'forget secrets' },
    none: 'no secrets yet; set one: fn secret set NAME < file',
    columns: ['NAME', 'FUNCTIONS', 'UPDATED'],
    row,
  })
}

async function readInput({ io }: CommandContext): Promise<Buffer> {
  const { stdin } = io
  if (stdin.isTTY)
    throw new CliError('USAGE', 'the value of a secret comes from stdin or a file', {
      hints: ['fn secret set NAME < file', 'fn secret set NAME --from-file file'],
    })
  const chunks: Buffer[] = []
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk as Buffer))
  return Buffer.concat(chunks)
}

function readValue(path: string, { io }: CommandContext): Buffer {
  try {
    return readBoundedFile(resolve(io.cwd, path), MOST_FILE_BYTES)
  } catch (error) {
    throw new CliError('FILE_NOT_FOUND', `${path}: ${(error as Error).message}`, { cause: error })
  }
}

/** `echo` and editors put a line end after what one means. */
function withoutLineEnd(value: Buffer): Buffer {
  if (value.at(-1) !== 10) return value
  return value.subarray(0, value.at(-2) === 13 ? -2 : -1)
}

function row({ name, functions, updatedAt }: SecretAnswer): string[] {
  return [name, functions.join(', '), ageText(updatedAt, Date.now())]
}
