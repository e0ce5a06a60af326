// The four strikes of a soak, by the fault campaign's doors: Redis stands still, the disk is full, the clock an hour ahead, and back.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { untilMoved, writeOffset } from '../fault/own-clock.ts'
import { keepFull } from '../fault/own-disk.ts'
import { signal } from '../fault/server.ts'
import type { Platform } from '../support/platform.ts'
import type { OwnFolder } from './own-folder.ts'
import type { Strike } from './strike.ts'

const FULL_MS = 20_000
const CLOCK_MS = 20_000
const HOUR_S = 3_600

/** Nobody notices it at once: it neither answers nor ends. */
export function redisStandsStill({ stateDir }: Platform, ms: number): Strike {
  const run = async (): Promise<void> => {
    const pid = Number(readFileSync(join(stateDir, 'redis', 'redis.pid'), 'utf8'))
    if (!readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('redis-server')) throw new Error(`${pid} is no Redis`)
    if (!signal(pid, 'SIGSTOP')) throw new Error('there is no Redis')
    try {
      await sleep(ms)
    } finally {
      signal(pid, 'SIGCONT')
    }
  }
  return { name: 'Redis stands still', endsAttempts: false, ms, says: /Redis is away/, run }
}

export function diskIsFull({ disk }: OwnFolder): Strike {
  return {
    name: 'the disk is full',
    endsAttempts: true,
    ms: FULL_MS,
    says: /the disk of .* is full/,
    run: () => keepFull(disk, FULL_MS),
  }
}

/** Of a platform whose clock follows the folder's file. */
export function clockMoves({ clockFile }: OwnFolder, platform: Platform): Strike[] {
  const to = (name: string, offsetS: number): Strike => ({
    name,
    endsAttempts: false,
    ms: CLOCK_MS,
    says: null,
    run: async () => {
      writeOffset(clockFile, offsetS)
      await untilMoved(offsetS, () => platform.request('/healthz'))
      await sleep(CLOCK_MS)
    },
  })
  return [to('the clock goes an hour ahead', HOUR_S), to('the clock goes back', 0)]
}
