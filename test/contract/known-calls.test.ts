// What is known of functions' calls, when the platform is killed while it writes it down: the file is whole, old or new.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { spawn } from '../../runtime/host/spawn.ts'
import { Retention } from '../../worker/pool/retention.ts'
import { readRetention } from '../../worker/pool/retention-file.ts'
import { realClock, silentLogger } from '../support/real-clock.ts'
import { until } from '../support/until.ts'

const KILLS = 6
const FUNCTIONS = 2000
const WRITER = new URL('../support/known-calls-writer.ts', import.meta.url).pathname
const directory = mkdtempSync(join(tmpdir(), 'thaw-killed-'))
afterAll(() => rmSync(directory, { recursive: true }))

test('a kill at any moment leaves a file from which everything is known', async () => {
  const path = join(directory, 'known-calls.json')
  const warnings: unknown[] = []
  const knownNow = () => {
    const retention = new Retention(realClock)
    readRetention(path, retention, { ...silentLogger, warn: (line: unknown) => void warnings.push(line) })
    return [...retention.entries()].length
  }
  for (let kill = 0; kill < KILLS; kill++) {
    const writer = spawn(process.execPath, [WRITER, path])
    await new Promise<void>((resolve) => writer.stdout?.once('data', () => resolve()))
    await until('it has written once', () => knownNow() === FUNCTIONS)
    await delay(kill * 7)
    writer.kill('SIGKILL')
    await writer.exited
    expect(knownNow()).toBe(FUNCTIONS)
  }
  expect(warnings).toEqual([])
})
