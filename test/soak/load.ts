// The mixed load of a soak: calls of every kind at fixed rates, each on a clock of its own, and what came of them by kind and
// status. An answer that is not the one expected counts apart; nothing is retried.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Platform } from '../support/platform.ts'

/** One kind of traffic. */
export interface Stream {
  readonly name: string
  readonly perSecond: number
  /** Statuses that are right. */
  readonly expects: readonly number[]
  /** Resolves to the status. */
  readonly send: (platform: Platform, turn: number) => Promise<number>
}

export interface Tally {
  sent: number
  expected: number
  /** Status or error text → how many. */
  readonly others: Record<string, number>
}

const MOST_IN_FLIGHT = 64
const JSON_BODY = JSON.stringify({ numbers: Array.from({ length: 120 }, (_, index) => index), text: 'x'.repeat(400) })

const get = async (platform: Platform, path: string, init: RequestInit = {}): Promise<number> => {
  const response = await platform.request(path, init)
  await response.arrayBuffer()
  return response.status
}
const post = (platform: Platform, path: string, body: string, headers: Record<string, string> = {}) =>
  get(platform, path, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } })

/** Calls of nearly a mebibyte of log each: more than the function's log files hold together. */
const TALKS = 60

/** At `scale` 1 about half of what two cores can do. `minutes`: by two thirds of them the logs are to be at their bound. */
export function streamsOf(scale: number, minutes: number): Stream[] {
  const streams: Stream[] = [
    { name: 'sync', perSecond: 250, expects: [200], send: (at) => get(at, '/fn/hello?name=Ada') },
    { name: 'sync, 1 KiB body', perSecond: 60, expects: [200], send: (at) => post(at, '/fn/echo', JSON_BODY) },
    {
      name: 'asynchronous',
      perSecond: 30,
      expects: [202],
      send: (at) => post(at, '/fn/soak?do=work&ms=5', '{}', { prefer: 'respond-async' }),
    },
    { name: 'limits of a call', perSecond: 5, expects: [200], send: (at) => get(at, '/fn/hello', LOWER) },
    { name: 'waits', perSecond: 5, expects: [200], send: (at) => get(at, '/fn/soak?do=wait&ms=200') },
    { name: 'throws', perSecond: 2, expects: [500], send: (at) => get(at, '/fn/soak?do=throw') },
    { name: 'crashes', perSecond: 0.5, expects: [502], send: (at) => get(at, '/fn/soak?do=crash') },
    { name: 'times out', perSecond: 0.5, expects: [504], send: (at) => get(at, '/fn/soak?do=hang', BRIEF) },
    { name: 'out of memory', perSecond: 0.1, expects: [502], send: (at) => get(at, '/fn/soak?do=oom') },
    { name: 'asks for lists', perSecond: 1, expects: [200], send: (at) => get(at, '/v1/invocations?limit=50') },
    { name: 'scrapes metrics', perSecond: 0.1, expects: [200], send: (at) => get(at, '/metrics') },
  ]
  const talks = TALKS / ((minutes * 60 * 2) / 3)
  return [
    ...streams.map((stream) => ({ ...stream, perSecond: stream.perSecond * scale })),
    { name: 'talks', perSecond: talks, expects: [200], send: (at) => get(at, '/fn/talker?do=talk&lines=900') },
  ]
}
const LOWER = { headers: { 'fn-limit-memory': '64m' } }
const BRIEF = { headers: { 'fn-timeout': '300ms' } }

/** Sends until `stop` aborts; the tallies grow meanwhile. Resolves when all is answered. */
export async function drive(
  platform: Platform,
  streams: readonly Stream[],
  tallies: Map<string, Tally>,
  stop: AbortSignal,
): Promise<void> {
  await Promise.all(streams.map((stream) => driveOne(platform, stream, tallyOf(tallies, stream.name), stop)))
}

export function tallyOf(tallies: Map<string, Tally>, name: string): Tally {
  const tally = tallies.get(name) ?? { sent: 0, expected: 0, others: {} }
  tallies.set(name, tally)
  return tally
}

async function driveOne(platform: Platform, stream: Stream, tally: Tally, stop: AbortSignal): Promise<void> {
  const inFlight = new Set<Promise<void>>()
  const startedMs = performance.now()
  for (let turn = 0; !stop.aborted; ) {
    const dueTurns = ((performance.now() - startedMs) / 1000) * stream.perSecond
    while (turn < dueTurns && inFlight.size < MOST_IN_FLIGHT) {
      const one = sendOne(platform, stream, turn++, tally).finally(() => inFlight.delete(one))
      inFlight.add(one)
    }
    // What could not be sent in time is left out: a soak keeps its load, it does not pile it up.
    turn = Math.max(turn, Math.floor(dueTurns) - MOST_IN_FLIGHT)
    await sleep(20)
  }
  await Promise.all(inFlight)
}

async function sendOne(platform: Platform, stream: Stream, turn: number, tally: Tally): Promise<void> {
  tally.sent++
  const outcome = await stream.send(platform, turn).catch((error: Error) => error.message)
  if (typeof outcome === 'number' && stream.expects.includes(outcome)) tally.expected++
  else tally.others[outcome] = (tally.others[outcome] ?? 0) + 1
}
