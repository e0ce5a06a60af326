// `fn token`: tokens for the namespace: create (prints the token, once), ls, rm.
import { randomBytes } from 'node:crypto'
import { type Command, InvalidArgumentError } from 'commander'
import { formatDuration } from '../../runtime/api.ts'
import { CliError } from '../errors.ts'
import { ageText } from '../output/quantity.ts'
import { durationText } from './argument.ts'
import { type CommandContext, examples } from './command.ts'
import { addListAndRemove, pathOf } from './named-things.ts'

interface TokenAnswer {
  readonly namespace: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly createdAt: string
  readonly expiresAt: string | null
  readonly rate: { readonly count: number; readonly windowMs: number } | null
  readonly token?: string
}

interface CreateOptions {
  readonly name?: string
  readonly scope: string
  readonly expires?: string
  readonly rate?: string
}

export function define(command: Command, context: CommandContext): void {
  command.description(
    [
      'Tokens: each is for one namespace (--namespace) and has scopes:',
      '  invoke  call functions that are not public, use every Fn-* header, read invocations',
      '  deploy  deploy and change functions, aliases, volumes, secrets; read invocations',
      '  admin   all of the namespace, tokens and sandboxes included',
    ].join('\n'),
  )
  examples(command, [
    'fn token create ci --scope deploy --expires 30d',
    'fn token create --namespace shop --scope invoke --rate 100/s',
    'FN_TOKEN=fn_… fn ls',
    'fn token ls',
    'fn token rm ci',
  ])
  command
    .command('create')
    .summary('make a token and print it, this once')
    .argument('[name]', 'name to list and remove it by; else a random one')
    .option('--name <name>', 'the same')
    .option('--scope <scopes>', 'invoke, deploy, admin, comma-separated', scopesText, 'invoke')
    .option('--expires <duration>', 'it ends after this, e.g. 30d; else never', durationText)
    .option('--rate <rate>', 'most calls, e.g. 100/s or 600/m')
    .action(async (given: string | undefined, options: CreateOptions) => {
      const { scope, expires, rate } = options
      if (given !== undefined && options.name !== undefined && given !== options.name)
        throw new CliError('USAGE', `one token has one name, got ${given} and ${options.name}`)
      const name = given ?? options.name ?? `token-${randomBytes(4).toString('hex')}`
      const scopes = scope.split(',')
      const answer = await context.client().request('PUT', pathOf('tokens', name), { json: { scopes, expires, rate } })
      context.show(answer, (json) => (json as TokenAnswer).token ?? '')
      if (!context.globals.json) context.note(`token ${name} is shown this once; keep it safe (FN_TOKEN)`)
    })
  addListAndRemove<TokenAnswer>(command, context, {
    kind: 'tokens',
    help: { ls: 'list tokens, without values; of all namespaces unless --namespace names one', rm: 'remove tokens' },
    none: 'no tokens yet; make one: fn token create --scope invoke',
    columns: ['NAMESPACE', 'NAME', 'SCOPES', 'RATE', 'EXPIRES', 'AGE'],
    row,
  })
}

const SCOPES = ['invoke', 'deploy', 'admin']

/** Scopes between commas. Throws InvalidArgumentError for one that does not exist. */
function scopesText(text: string): string {
  const scopes = text.split(',').map((part) => part.trim())
  const unknown = scopes.find((scope) => !SCOPES.includes(scope))
  if (unknown === undefined) return scopes.join(',')
  throw new InvalidArgumentError(`expected ${SCOPES.join(', ')}, got ${JSON.stringify(unknown)}`)
}

function row({ namespace, name, scopes, rate, expiresAt, createdAt }: TokenAnswer): string[] {
  const rateText = rate === null ? '' : `${rate.count} in ${formatDuration(rate.windowMs)}`
  return [namespace, name, scopes.join(','), rateText, expiresAt ?? 'never', ageText(createdAt, Date.now())]
}
