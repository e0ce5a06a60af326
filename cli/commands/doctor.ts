// `fn doctor`: whether the platform is ready, what its host can enforce, what it cannot, and what would turn it on.
import type { Command } from 'commander'
import type { HostReport, Readiness } from '../answers.ts'
import type { Client } from '../client.ts'
import { CliError } from '../errors.ts'
import { readText } from '../http-exchange.ts'
import { sizeText } from '../output/quantity.ts'
import type { Style } from '../output/style.ts'
import { formatPairs, formatTable } from '../output/table.ts'
import { type CommandContext, examples } from './command.ts'

export function define(command: Command, context: CommandContext): void {
  examples(command, ['fn doctor', "fn doctor --json | jq '.limits.blkioWeight'"])
  command.action(async () => {
    try {
      const client = context.client()
      const answer = await client.request('GET', '/v1/doctor')
      const readiness = context.globals.json ? null : await askReadiness(client)
      context.show(answer, (json) => formatReport(json as HostReport, context.style, readiness))
    } catch (error) {
      if (!(error instanceof CliError) || error.code !== 'PLATFORM_UNREACHABLE') throw error
      throw new CliError(error.code, `${error.message}; the platform itself finds out what its host can do`, {
        hints: error.hints,
        cause: error,
      })
    }
  })
}

/** As `/readyz` tells it; null where that is no answer of a platform. */
async function askReadiness(client: Client): Promise<Readiness | null> {
  const response = await client.open('GET', '/readyz')
  const text = await readText(response.body)
  try {
    const told = JSON.parse(text) as Readiness | null
    return typeof told?.ready === 'boolean' ? told : null
  } catch {
    return null
  }
}

/** The report for people. `readiness` null: not known. */
export function formatReport(report: HostReport, style: Style, readiness: Readiness | null): string {
  const host = formatPairs(
    [
      ['ready', readiness === null ? null : readyText(readiness, style)],
      ['kernel', `${report.kernel} ${report.arch}`],
      ['cores', String(report.cores)],
      ['memory', `${sizeText(report.memoryBytes)}, swap ${sizeText(report.swapBytes)}`],
      ['cgroups', `${report.cgroupMode}, freezer ${report.freezer}`],
      ['runtime', `${report.ociRuntime.version} (${report.ociRuntime.path})`],
      ['node', report.nodeVersion],
    ],
    style,
  )
  const rows = Object.entries(report.limits).map(([name, support]) => [
    name,
    support.enforced ? style.green('yes') : style.yellow('no'),
    support.how,
  ])
  const table = formatTable([{ title: 'LIMIT' }, { title: 'ENFORCED' }, { title: 'HOW' }], rows, style)
  const networks = Object.entries(report.networks ?? {}).map(([name, support]) => [
    name,
    support.enforced ? style.green('yes') : style.yellow('no'),
    support.how,
  ])
  const networkTable = formatTable([{ title: 'NETWORK' }, { title: 'OFFERED' }, { title: 'HOW' }], networks, style)
  const budgets = Object.entries(report.budgets ?? {}).map(([name, support]) => [
    name,
    support.enforced ? style.green('yes') : style.yellow('no'),
    support.how.replaceAll('`', ''),
  ])
  const budgetTable = formatTable([{ title: 'WHOLE MACHINE' }, { title: 'HELD' }, { title: 'HOW' }], budgets, style)
  const named = Object.entries(report.networks ?? {}).map(([name, support]) => [`network ${name}`, support] as const)
  const fixes = [...Object.entries(report.limits), ...named, ...Object.entries(report.budgets ?? {})].flatMap(
    ([name, support]) => (support.fix === undefined ? [] : [`${style.cyan('→')} ${name}: ${support.fix}`]),
  )
  return [
    host,
    '',
    table,
    ...(networks.length > 0 ? ['', networkTable] : []),
    ...(budgets.length > 0 ? ['', budgetTable] : []),
    ...(fixes.length > 0 ? ['', ...fixes] : []),
  ].join('\n')
}

function readyText({ ready, reason }: Readiness, style: Style): string {
  return ready ? style.green('yes') : style.yellow(`no: ${reason ?? 'it does not say why'}`)
}
