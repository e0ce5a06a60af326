// The warm measurements: every round calls all subjects one after the other, so that what disturbs the machine disturbs all of
// them, and ratios are taken within a round. The order turns by one each round.
import type { ClientKind } from './clients.ts'
import { type Curve, type Latency, median } from './latency.ts'
import type { Target } from './load.ts'
import { type CpuPerCall, type FunctionName, runLoad, runMetered, type Subject, type Subjects } from './subjects.ts'

export interface Closed {
  readonly latency: Latency
  readonly curve: Curve
  readonly rate: number
  readonly cpuUs: CpuPerCall
}
/** `-32`: 32 connections; `-plain`: by Node's own HTTP client, which costs the machine more than most servers do. */
export type ClosedName =
  | 'node'
  | 'workerd'
  | 'thaw'
  | 'limited'
  | 'node-echo'
  | 'workerd-echo'
  | 'thaw-echo'
  | 'hono-32'
  | 'workerd-32'
  | 'thaw-32'
  | 'shared-32'
  | 'node-plain'
  | 'thaw-plain'
  | 'hono-32-plain'
  | 'thaw-32-plain'
  | 'shared-32-plain'
/** Without those that are not here. */
export type Round = Readonly<Partial<Record<ClosedName, Closed>>>

/** Calls at the same idle gap: a bare server, a warm sandbox, one that was frozen meanwhile. */
export interface Paced {
  readonly node: Latency
  readonly warm: Latency
  readonly thawed: Latency
  readonly curves: { readonly node: Curve; readonly warm: Curve; readonly thawed: Curve }
  /** How the calls got their sandbox; shows that warm was warm and thawed was thawed. */
  readonly starts: {
    readonly warm: Readonly<Record<string, number>>
    readonly thawed: Readonly<Record<string, number>>
  }
}

/** One subject at one fixed rate. */
export interface OpenRate {
  readonly subject: 'node' | 'workerd' | 'thaw'
  readonly ratePerS: number
  readonly latency: Latency
  readonly curve: Curve
  /** The generator's own delay, part of the latency. */
  readonly lateness: Latency | null
}

export interface RoundOptions {
  readonly rounds: number
  readonly durationMs: number
  readonly onRound: (n: number) => void
}

const ECHO_BYTES = 1024
const GAP_MS = 50
const CLIENTS = 32
/** Calls a second of the open loop: far from, near and (for a sandbox each) at what the platform can do. */
const OPEN_RATES = [200, 1000, 3000]

export async function runRounds(subjects: Subjects, options: RoundOptions): Promise<Round[]> {
  const plan = planOf(subjects)
  const rounds: Round[] = []
  for (let n = 0; n < options.rounds; n++) {
    options.onRound(n)
    const turned = [...plan.slice(n % plan.length), ...plan.slice(0, n % plan.length)]
    const round: Partial<Record<ClosedName, Closed>> = {}
    for (const { name, subject, target, connections, client } of turned) {
      // Shown beside what is judged, not judged itself: the first and the last round are enough.
      if (client === 'node' && n !== 0 && n !== options.rounds - 1) continue
      const warmUpMs = Math.min(1000, options.durationMs / 3)
      const load = { mode: 'closed', client, target, connections, durationMs: options.durationMs, warmUpMs } as const
      const { latencies, curves, rate, cpuUs } = await runMetered(load, subject.meter)
      round[name] = { latency: latencies[0]!, curve: curves[0]!, rate, cpuUs }
    }
    rounds.push(round)
  }
  return rounds
}

/** The gap leaves the frozen function time to be frozen after each call. */
export async function runPaced(subjects: Subjects, calls: number): Promise<Paced> {
  const { port } = subjects.thaw
  const targets = [get(subjects.node.port, '/'), get(port, '/fn/hello'), get(port, '/fn/frozen')]
  const { latencies, curves, starts } = await runLoad({ mode: 'paced', targets, gapMs: GAP_MS, calls })
  return {
    node: latencies[0]!,
    warm: latencies[1]!,
    thawed: latencies[2]!,
    curves: { node: curves[0]!, warm: curves[1]!, thawed: curves[2]! },
    starts: { warm: starts[1] ?? {}, thawed: starts[2] ?? {} },
  }
}

/** Every subject at every rate, the subjects in turn. */
export async function runOpenRates(subjects: Subjects, durationMs: number): Promise<OpenRate[]> {
  const { node, workerd, thaw } = subjects
  const plan = [
    { subject: 'node', target: get(node.port, '/') },
    ...(workerd === null ? [] : [{ subject: 'workerd', target: get(workerd.port, '/') } as const]),
    { subject: 'thaw', target: get(thaw.port, '/fn/hello') },
  ] as const
  const rows: OpenRate[] = []
  for (const ratePerS of OPEN_RATES) {
    for (const { subject, target } of plan) {
      const load = { mode: 'open', target, ratePerS, connections: CLIENTS, durationMs, warmUpMs: 500 } as const
      const { latencies, curves, lateness } = await runLoad(load)
      rows.push({ subject, ratePerS, latency: latencies[0]!, curve: curves[0]!, lateness })
    }
  }
  return rows
}

/** A few calls of the naive runner, one after the other. */
export async function runContainerPerCall({ runc }: Subjects, durationMs: number): Promise<Closed | null> {
  if (runc === null) return null
  const load = { mode: 'closed', client: 'lean', target: get(runc.port, '/'), connections: 1 } as const
  const { latencies, curves, rate, cpuUs } = await runMetered({ ...load, durationMs, warmUpMs: 300 }, runc.meter)
  return { latency: latencies[0]!, curve: curves[0]!, rate, cpuUs }
}

/** The median over the rounds that have it of a figure taken within each; null when none has. */
export function overRounds(rounds: readonly Round[], figure: (round: Round) => number | null): number | null {
  return median(rounds.map(figure).filter((value) => value !== null))
}

export function get(port: number, path: string): Target {
  return { port, path, method: 'GET', headers: [], bodyBytes: 0, expectStatus: 200 }
}

interface Planned {
  readonly name: ClosedName
  readonly subject: Subject
  readonly target: Target
  readonly connections: number
  readonly client: ClientKind
}

function planOf({ node, hono, workerd, thaw }: Subjects): Planned[] {
  const bare = (subject: Subject) => ({ subject, target: get(subject.port, '/') })
  const call = (name: FunctionName) => ({ subject: thaw, target: get(thaw.port, `/fn/${name}`) })
  const echo = ({ subject, target }: Pick<Planned, 'subject' | 'target'>) => ({
    subject,
    target: { ...target, method: 'POST', bodyBytes: ECHO_BYTES } as const,
  })
  // Two sets in turn, so that every call writes both limits; metering is always on.
  const headers: Target['headers'] = [
    { 'fn-limit-memory': '96m', 'fn-limit-cpu-shares': '512' },
    { 'fn-limit-memory': '112m', 'fn-limit-cpu-shares': '768' },
  ]
  const limited = call('limited')
  const one = { connections: 1, client: 'lean' } as const
  const many = { connections: CLIENTS, client: 'lean' } as const
  const peer = workerd === null ? null : bare(workerd)
  return [
    { name: 'node', ...bare(node), ...one },
    { name: 'thaw', ...call('hello'), ...one },
    ...(peer === null ? [] : [{ name: 'workerd', ...peer, ...one } as const]),
    { name: 'limited', ...limited, target: { ...limited.target, headers }, ...one },
    { name: 'node-echo', ...echo(bare(node)), ...one },
    { name: 'thaw-echo', ...echo(call('echo')), ...one },
    ...(peer === null ? [] : [{ name: 'workerd-echo', ...echo(peer), ...one } as const]),
    { name: 'hono-32', ...bare(hono), ...many },
    { name: 'thaw-32', ...call('hello'), ...many },
    { name: 'shared-32', ...call('shared'), ...many },
    ...(peer === null ? [] : [{ name: 'workerd-32', ...peer, ...many } as const]),
    { name: 'node-plain', ...bare(node), ...one, client: 'node' },
    { name: 'thaw-plain', ...call('hello'), ...one, client: 'node' },
    { name: 'hono-32-plain', ...bare(hono), ...many, client: 'node' },
    { name: 'thaw-32-plain', ...call('hello'), ...many, client: 'node' },
    { name: 'shared-32-plain', ...call('shared'), ...many, client: 'node' },
  ]
}
