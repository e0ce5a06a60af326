// The kinds of faults: how each strikes a running house and how it is taken back. Each resolves when all is normal again.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processesOf } from '../support/platform-leftovers.ts'
import type { CommandFault } from '../support/redis-proxy.ts'
import { until } from '../support/until.ts'
import type { House, HouseKind, Member } from './house.ts'
import { untilMoved } from './own-clock.ts'
import { cutPower, keepFull, restorePower } from './own-disk.ts'
import type { Chance } from './random.ts'
import { say, tearFile } from './redis-wire.ts'
import { isDead, signal } from './server.ts'

export interface FaultKind {
  readonly name: string
  /** For the report. */
  readonly what: string
  /** A run that it ends counts as an attempt. */
  readonly endsAttempts: boolean
  readonly needs?: 'disk' | 'clock' | 'wire'
  /** Where it can strike, first where it does unless asked otherwise. */
  readonly houses: readonly HouseKind[]
  /** False: there was nothing to strike. */
  strike(house: House, chance: Chance, scale: FaultScale): Promise<boolean>
}

/** How long the long ones last. */
export interface FaultScale {
  readonly fullDiskMs: number
  readonly clockMs: number
}

const DEAD_MS = 5_000
/** Of the starts after a kill, how many are killed again before they are ready. */
const SECOND_KILL = 0.2

const BOTH: readonly HouseKind[] = ['together', 'apart']

export const FAULT_KINDS: readonly FaultKind[] = [
  {
    name: 'sandbox',
    what: 'kill -9 of a sandbox, a busy one where there is one',
    endsAttempts: true,
    houses: BOTH,
    strike: killSandbox,
  },
  {
    name: 'platform',
    what: 'kill -9 of fn up, one in five again while it starts',
    endsAttempts: false,
    houses: ['together'],
    strike: (house, chance) => killPlatform(house, chance, 'platform'),
  },
  {
    name: 'everything',
    what: 'kill -9 of every process: platform, guard, Redis, sandboxes',
    endsAttempts: false,
    houses: ['together'],
    strike: (house, chance) => killPlatform(house, chance, 'everything'),
  },
  {
    name: 'gateway',
    what: 'kill -9 of fn gateway',
    endsAttempts: false,
    houses: ['apart'],
    strike: (house, chance) => killMember(house, house.front, chance),
  },
  {
    name: 'worker',
    what: 'kill -9 of one of two fn worker',
    endsAttempts: false,
    houses: ['apart'],
    strike: (house, chance) => killMember(house, chance.pick(house.workers), chance),
  },
  { name: 'redis', what: 'kill -9 of Redis', endsAttempts: false, houses: BOTH, strike: killRedis },
  {
    name: 'pause',
    what: 'CLIENT PAUSE of Redis for 0.1 to 8 s',
    endsAttempts: false,
    houses: BOTH,
    strike: pauseRedis,
  },
  {
    name: 'torn',
    what: 'kill -9 of Redis and a torn record at the end of its file',
    endsAttempts: false,
    houses: BOTH,
    strike: tearRedis,
  },
  {
    name: 'full',
    what: 'maxmemory of Redis below what it holds for 0.2 to 4 s, by little or by all',
    endsAttempts: false,
    houses: BOTH,
    strike: fillRedis,
  },
  {
    name: 'command',
    what: 'one command to Redis refused, lost before or after it was executed, or answered late',
    endsAttempts: false,
    houses: ['apart'],
    needs: 'wire',
    strike: harmCommand,
  },
  {
    name: 'disk',
    what: 'the disk filled to the last byte',
    endsAttempts: true,
    houses: ['together'],
    needs: 'disk',
    strike: fillDisk,
  },
  {
    name: 'power',
    what: 'what was not synced to the disk is gone, and every process',
    endsAttempts: false,
    houses: ['together'],
    needs: 'disk',
    strike: losePower,
  },
  {
    name: 'clock',
    what: 'the clock of the platform moved by up to two hours, then back',
    endsAttempts: false,
    houses: BOTH,
    needs: 'clock',
    strike: moveClock,
  },
]

interface SandboxRow {
  readonly state: string
  readonly pid: number
  readonly function: string | null
}

async function killSandbox(house: House, chance: Chance): Promise<boolean> {
  const response = await house.request('/v1/sandboxes')
  const rows = ((await response.json()) as SandboxRow[]).filter((row) => row.pid > 1)
  const busy = rows.filter((row) => row.state === 'busy')
  const candidates = busy.length > 0 ? busy : rows
  if (candidates.length === 0) return false
  const { pid } = chance.pick(candidates)
  if (!house.owns(pid) || !signal(pid, 'SIGKILL')) return false
  await until('the sandbox is dead', () => isDead(pid), DEAD_MS)
  return true
}

async function killPlatform(house: House, chance: Chance, scope: 'platform' | 'everything'): Promise<boolean> {
  const again = chance.next() < SECOND_KILL ? chance.below(1500) : null
  const pauseMs = chance.below(500)
  await killOnce(house, scope)
  await sleep(pauseMs)
  if (again !== null) {
    house.front.server.start()
    await sleep(again)
    await killOnce(house, scope)
  }
  await house.start()
  return true
}

async function killOnce(house: House, scope: 'platform' | 'everything'): Promise<void> {
  const gone = house.front.server.end('SIGKILL')
  // ORDER: the platform first: it must not see its sandboxes die.
  if (scope === 'everything')
    for (const pid of processesOf(house.front.id, house.front.stateDir)) signal(pid, 'SIGKILL')
  await gone
}

async function killMember(house: House, { server }: Member, chance: Chance): Promise<boolean> {
  await server.end('SIGKILL')
  await sleep(chance.below(500))
  await house.start()
  return true
}

async function killRedis(house: House): Promise<boolean> {
  const pid = house.redisPid()
  if (pid === null || !signal(pid, 'SIGKILL')) return false
  await until('Redis is dead', () => isDead(pid), DEAD_MS)
  await house.redisIsBack(pid)
  return true
}

async function pauseRedis(house: House, chance: Chance): Promise<boolean> {
  const short = chance.next() < 0.7
  const ms = short ? 100 + chance.below(1500) : 5_000 + chance.below(3_000)
  await say(house.redisSocket, `CLIENT PAUSE ${ms} ALL`)
  await sleep(ms)
  await house.ready()
  return true
}

async function tearRedis(house: House, chance: Chance): Promise<boolean> {
  const pid = house.redisPid()
  // ORDER: who would start another Redis stands still, so that none reads a file that is being torn.
  const supervisor = house.redis === null ? house.front.server.pid : null
  if (pid === null || (supervisor === null && house.redis === null)) return false
  if (supervisor !== null) signal(supervisor, 'SIGSTOP')
  try {
    if (!signal(pid, 'SIGKILL')) return false
    await until('Redis is dead', () => isDead(pid), DEAD_MS)
    tearFile(house.redisDir, chance)
  } finally {
    if (supervisor !== null) signal(supervisor, 'SIGCONT')
  }
  await house.redisIsBack(pid)
  return true
}

async function fillRedis(house: House, chance: Chance): Promise<boolean> {
  const memory = await say(house.redisSocket, 'INFO memory')
  const used = Number(/^used_memory:(\d+)/m.exec(memory)?.[1] ?? 0)
  if (used === 0) return false
  // Refuses everything; or has a little room that is kept for ends.
  const maximum = chance.next() < 0.5 ? 1 : Math.round(used * (0.95 + 0.2 * chance.next()))
  await say(house.redisSocket, `CONFIG SET maxmemory ${maximum}`)
  await sleep(200 + chance.below(3_800))
  await say(house.redisSocket, 'CONFIG SET maxmemory 0')
  await house.ready()
  return true
}

/** So many commands pass before one is harmed, at most. */
const COMMANDS_BEFORE = 60
const REFUSALS = [
  "OOM command not allowed when used memory > 'maxmemory'.",
  'LOADING Redis is loading the dataset in memory',
  "READONLY You can't write against a read only replica.",
  'MISCONF Errors writing to the AOF file: No space left on device',
  'BUSY Redis is busy running a script.',
]

async function harmCommand(house: House, chance: Chance): Promise<boolean> {
  const { wire } = house
  if (wire === null) return false
  const faults: CommandFault[] = [
    { kind: 'refused', error: chance.pick(REFUSALS) },
    { kind: 'lost request' },
    { kind: 'lost answer' },
    { kind: 'delayed', ms: 50 + chance.below(7_000) },
  ]
  const fault = chance.pick(faults)
  wire.arm({ after: chance.below(COMMANDS_BEFORE), fault })
  await until('a command was harmed', () => wire.struck !== null, DEAD_MS)
  if (fault.kind === 'delayed') await sleep(fault.ms)
  await house.ready()
  return true
}

async function fillDisk(house: House, _chance: Chance, scale: FaultScale): Promise<boolean> {
  if (house.disk === null) return false
  await keepFull(house.disk.path, scale.fullDiskMs)
  await house.ready()
  return true
}

async function losePower(house: House): Promise<boolean> {
  if (house.disk === null) return false
  // ORDER: all stand still first: no machine says anything after its power is gone, and a sync that meets the shutdown in the
  // kernel may claim to have succeeded.
  for (const pid of processesOf(house.front.id, house.front.stateDir)) signal(pid, 'SIGSTOP')
  cutPower(house.disk)
  await killOnce(house, 'everything')
  await restorePower(house.disk, DEAD_MS)
  // After a real cut the machine would have another one: what is kept for one boot alone is not relied on.
  rmSync(join(house.front.stateDir, 'layers', 'boot-id'), { force: true })
  await house.start()
  return true
}

const OFFSETS_S = [5, 20, 90, 600, 3_600, 7_200]

async function moveClock(house: House, chance: Chance, scale: FaultScale): Promise<boolean> {
  await setClock(house, chance.pick(OFFSETS_S) * (chance.next() < 0.5 ? -1 : 1))
  await sleep(scale.clockMs)
  await setClock(house, 0)
  await house.ready()
  return true
}

async function setClock(house: House, offsetS: number): Promise<void> {
  house.setClock(offsetS)
  await untilMoved(offsetS, () => house.request('/healthz'))
}
