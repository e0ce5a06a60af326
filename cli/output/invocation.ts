// One invocation on one page: outcome, phases, CPU, memory, I/O, and the limits it ran with. Pure.
import type { Metering } from '../../runtime/api.ts'
import type { InvocationRecord, InvocationState } from '../../worker/api.ts'
import { microsText, millisText, sizeText } from './quantity.ts'
import { limitsText } from './settings.ts'
import type { Style } from './style.ts'
import { formatPairs } from './table.ts'

/** A state in its colour. */
export function formatState(state: InvocationState, style: Style): string {
  if (state === 'succeeded') return style.green(state)
  if (state === 'failed' || state === 'timed-out' || state === 'expired') return style.red(state)
  return style.yellow(state)
}

/** The page of `fn invoke --meter` and `fn get invocation`. */
export function formatInvocation(record: InvocationRecord, style: Style): string {
  const { error, afterAnswer, metering } = record
  const outcome = [formatState(record.state, style), record.status === null ? '' : String(record.status)]
  const pairs: (readonly [string, string | null])[] = [
    ['invocation', record.id],
    [
      'function',
      `${record.function} version ${record.version}${record.attempt > 1 ? `, attempt ${record.attempt}` : ''}`,
    ],
    ['outcome', outcome.filter(Boolean).join(' ')],
    ['error', error === null ? null : style.red(`${error.message} (${error.code})`)],
    ['after it', afterAnswer === undefined ? null : style.red(`${afterAnswer.message} (${afterAnswer.code})`)],
    ['created', record.createdAt],
    ['start', record.start],
    ['phases', record.startedAt === null ? null : phasesText(record)],
    ...(metering === null ? [] : meteringPairs(metering, record.limits.memory)),
    ['limits', limitsText(record.limits)],
  ]
  const stack = error?.stack ?? afterAnswer?.stack
  return formatPairs(pairs, style) + (stack === undefined ? '' : `\n${stack}`)
}

function phasesText(record: InvocationRecord): string {
  const phases = [
    ['queue', record.queueMs],
    ['start', record.startMs],
    ['thaw', record.thawMs],
    ['init', record.initMs],
    ['run', record.runMs],
  ] as const
  return phases.map(([name, ms]) => `${name} ${millisText(ms)}`).join('  ')
}

function meteringPairs(metering: Metering, memoryLimit: number): (readonly [string, string | null])[] {
  const throttled = metering.throttledUs > 0 ? `  throttled ${microsText(metering.throttledUs)}` : ''
  const swap = metering.swapPeakBytes ? `  swap peak ${sizeText(metering.swapPeakBytes)}` : ''
  const since = (figure: 'memoryPeakBytes' | 'tasksPeak') =>
    metering.sinceStart?.includes(figure) ? ' (since the sandbox began)' : ''
  const hasNetwork = metering.netRxBytes + metering.netTxBytes > 0
  const hasFreeze = metering.freezeUs + metering.thawUs > 0
  return [
    ['CPU', `user ${microsText(metering.cpuUserUs)}  system ${microsText(metering.cpuSystemUs)}${throttled}`],
    [
      'memory',
      `peak ${sizeText(metering.memoryPeakBytes)} of ${sizeText(memoryLimit)}${since('memoryPeakBytes')}  at end ${sizeText(metering.memoryBytes)}${swap}`,
    ],
    [
      'disk',
      `read ${sizeText(metering.ioReadBytes)} in ${metering.ioReadOps}  written ${sizeText(metering.ioWriteBytes)} in ${metering.ioWriteOps} operations`,
    ],
    ['network', hasNetwork ? `in ${sizeText(metering.netRxBytes)}  out ${sizeText(metering.netTxBytes)}` : null],
    [
      'pages',
      `${metering.pageFaults} faults${metering.tasksPeak === null ? '' : `, ${metering.tasksPeak} tasks at once${since('tasksPeak')}`}`,
    ],
    ['OOM kills', metering.oomKills > 0 ? String(metering.oomKills) : null],
    ['freezer', hasFreeze ? `freeze ${microsText(metering.freezeUs)}  thaw ${microsText(metering.thawUs)}` : null],
    ['idle CPU', metering.idleCpuUs > 0 ? `${microsText(metering.idleCpuUs)} since the call before` : null],
    ['exact', metering.exact ? null : 'no: calls overlapped in the sandbox, the figures belong to all of them'],
  ]
}
