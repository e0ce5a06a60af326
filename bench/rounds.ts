// The warm measurements: every round calls all subjects one after the other, so that what disturbs the machine disturbs all of
// them, and ratios are taken within a round. The order turns by one each round.
import { type Latency, median } from './latency.ts'
import type { Target } from './load.ts'
import { type FunctionName, runLoad, type Subjects } from './subjects.ts'

export interface Closed {
  readonly latency: Latency
  readonly rate: number
}
export type ClosedName = 'node' | 'thaw' | 'limited' | 'node-echo' | 'thaw-echo' | 'hono-32' | 'thaw-32' | 'shared-32'
export type Round = Readonly<Record<ClosedName, Closed>>

/** Calls at the same idle gap: a bare server, a warm sandbox, one that was frozen meanwhile. */
export interface Paced {
  readonly node: Latency
  readonly warm: Latency
  readonly thawed: Latency
  /** How the calls got their sandbox; shows that warm was warm and thawed was thawed. */
  readonly starts: {
    readonly warm: Readonly<Record<string, number>>
    readonly thawed: Readonly<Record<string, number>>
  }
}

export interface RoundOptions {
  readonly rounds: number
  readonly durationMs: number
  readonly onRound: (n: number) => void
}

const ECHO_BYTES = 1024
const GAP_MS = 50
const CLIENTS = 32

export async function runRounds(subjects: Subjects, options: RoundOptions): Promise<Round[]> {
  const plan = planOf(subjects)
  const rounds: Round[] = []
  for (let n = 0; n < options.rounds; n++) {
    options.onRound(n)
    const turned = [...plan.slice(n % plan.length), ...plan.slice(0, n % plan.length)]
    const round: Partial<Record<ClosedName, Closed>> = {}
    for (const { name, target, connections } of turned) {
      const warmUpMs = Math.min(1000, options.durationMs / 2)
      const result = await runLoad({ mode: 'closed', target, connections, durationMs: options.durationMs, warmUpMs })
      round[name] = { latency: result.latencies[0]!, rate: result.rate }
    }
    rounds.push(round as Round)
  }
  return rounds
}

/** The gap leaves the frozen function time to be frozen after each call. */
export async function runPaced(subjects: Subjects, calls: number): Promise<Paced> {
  const { port } = subjects.platform
  const targets = [get(subjects.nodePort, '/'), get(port, '/fn/hello'), get(port, '/fn/frozen')]
  const { latencies, starts } = await runLoad({ mode: 'paced', targets, gapMs: GAP_MS, calls })
  return {
    node: latencies[0]!,
    warm: latencies[1]!,
    thawed: latencies[2]!,
    starts: { warm: starts[1] ?? {}, thawed: starts[2] ?? {} },
  }
}

/** The median over rounds of a figure taken within each. */
export function overRounds(rounds: readonly Round[], figure: (round: Round) => number): number | null {
  return median(rounds.map(figure))
}

export function get(port: number, path: string): Target {
  return { port, path, method: 'GET', headers: [], bodyBytes: 0, expectStatus: 200 }
}

function planOf(subjects: Subjects): { name: ClosedName; target: Target; connections: number }[] {
  const call = (name: FunctionName) => get(subjects.platform.port, `/fn/${name}`)
  const echo = (target: Target): Target => ({ ...target, method: 'POST', bodyBytes: ECHO_BYTES })
  // Two sets in turn, so that every call writes both limits; metering is always on.
  const limits: Target['headers'] = [
    { 'fn-limit-memory': '96m', 'fn-limit-cpu-shares': '512' },
    { 'fn-limit-memory': '112m', 'fn-limit-cpu-shares': '768' },
  ]
  return [
    { name: 'node', target: get(subjects.nodePort, '/'), connections: 1 },
    { name: 'thaw', target: call('hello'), connections: 1 },
    { name: 'limited', target: { ...call('limited'), headers: limits }, connections: 1 },
    { name: 'node-echo', target: echo(get(subjects.nodePort, '/')), connections: 1 },
    { name: 'thaw-echo', target: echo(call('echo')), connections: 1 },
    { name: 'hono-32', target: get(subjects.honoPort, '/'), connections: CLIENTS },
    { name: 'thaw-32', target: call('hello'), connections: CLIENTS },
    { name: 'shared-32', target: call('shared'), connections: CLIENTS },
  ]
}
