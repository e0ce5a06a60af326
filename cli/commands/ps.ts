// `fn ps`: the sandboxes there are, and what each holds and does.
import type { Command } from 'commander'
import { listOf, type SandboxInfo } from '../answers.ts'
import { ageText, microsText, sizeText } from '../output/quantity.ts'
import type { Style } from '../output/style.ts'
import { formatTable } from '../output/table.ts'
import { type CommandContext, examples } from './command.ts'

const COLUMNS = [
  { title: 'ID' },
  { title: 'NAMESPACE' },
  { title: 'FUNCTION' },
  { title: 'STATE' },
  { title: 'PID', align: 'right' },
  { title: 'MEMORY', align: 'right' },
  { title: 'CPU', align: 'right' },
  { title: 'CALLS', align: 'right' },
  { title: 'AGE', align: 'right' },
  { title: 'IDLE', align: 'right' },
] as const

export function define(command: Command, context: CommandContext): void {
  command.description("Lists sandboxes: of all namespaces with the platform's token, of one with --namespace.")
  examples(command, ['fn ps', 'fn ps --namespace shop', 'fn ps --json', 'fn kill 3f2a'])
  command.action(async () => {
    const answer = await context.client().request('GET', '/v1/sandboxes')
    context.show(answer, (json) => {
      const sandboxes = listOf<SandboxInfo>(json)
      if (sandboxes.length === 0) return 'no sandboxes; a call starts one'
      // Where several processes run functions, each sandbox says whose it is.
      const isSpread = new Set(sandboxes.map(({ worker }) => worker)).size > 1
      return formatTable(
        isSpread ? [...COLUMNS, { title: 'WORKER' }] : COLUMNS,
        sandboxes.map((sandbox) => [...row(sandbox, context.style), ...(isSpread ? [workerText(sandbox)] : [])]),
        context.style,
      )
    })
  })
}

function row(sandbox: SandboxInfo, style: Style): string[] {
  return [
    sandbox.id,
    sandbox.namespace === '' ? '-' : sandbox.namespace,
    sandbox.function === '' ? '-' : `${sandbox.function}@${sandbox.version}`,
    stateText(sandbox.state, style),
    String(sandbox.pid),
    sizeText(sandbox.memoryBytes),
    microsText(sandbox.cpuUs),
    sandbox.inFlight > 0 ? `${sandbox.calls} (${sandbox.inFlight} running)` : String(sandbox.calls),
    ageText(sandbox.createdAt, Date.now()),
    ageText(sandbox.idleSince, Date.now()),
  ]
}

function workerText({ worker, hostName }: SandboxInfo): string {
  return worker === undefined ? '-' : `${worker} on ${hostName}`
}

function stateText(state: SandboxInfo['state'], style: Style): string {
  if (state === 'frozen') return style.cyan(state)
  return state === 'busy' ? style.green(state) : state
}
