import { EventEmitter } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AuditLog } from '../../../../gateway/auth/audit-log.ts'
import type { GatewayResponse } from '../../../../gateway/response.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { SILENT } from '../../../support/fake-gateway-parts.ts'

let stateDir: string
let clock: FakeClock
let log: AuditLog
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'thaw-audit-'))
  clock = new FakeClock()
  log = new AuditLog(stateDir, clock, SILENT)
})
afterEach(() => rmSync(stateDir, { recursive: true }))

/** One call that ended with a status; `who` null: nobody known. */
function call(path: string, status: number, who: string | null = 'ci', method = 'PUT'): void {
  const caller = who === null ? null : { id: 'id', name: who, namespace: 'shop' }
  const outgoing = Object.assign(new EventEmitter(), { headersSent: true, statusCode: status, caller })
  const about = { path, namespace: null, address: '192.0.2.1', refusedAlone: false }
  log.watch({ method } as IncomingMessage, outgoing as unknown as GatewayResponse, about)
  outgoing.emit('close')
}

const folder = () => join(stateDir, 'audit')
const lines = () =>
  readFileSync(join(folder(), 'audit.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)

test('a file that reached its size is put aside, and five are kept', async () => {
  mkdirSync(folder())
  for (let turn = 0; turn < 7; turn++) {
    writeFileSync(join(folder(), 'audit.jsonl'), `${turn}`.repeat(10 * 1024 ** 2))
    call(`/v1/volumes/${turn}`, 201)
    await log.close()
    expect(lines().map(({ path }) => path)).toEqual([`/v1/volumes/${turn}`])
  }
  expect(readdirSync(folder()).sort()).toEqual([
    'audit.1.jsonl',
    'audit.2.jsonl',
    'audit.3.jsonl',
    'audit.4.jsonl',
    'audit.jsonl',
  ])
  expect([1, 2, 3, 4].map((index) => readFileSync(join(folder(), `audit.${index}.jsonl`), 'utf8')[0])).toEqual([
    '6',
    '5',
    '4',
    '3',
  ])
  expect(statSync(join(folder(), 'audit.jsonl')).mode & 0o777).toBe(0o600)
})

test('changes and refusals are written, reading is not, and strangers cannot push others out', async () => {
  call('/v1/functions', 200, 'ci', 'GET')
  call('/v1/functions', 403, 'ci', 'GET')
  for (let times = 0; times < 1000; times++) call('/v1/guess', 401, null, 'GET')
  call('/v1/functions/a', 204, 'ci', 'DELETE')
  await clock.advance(1000)
  call('/v1/guess', 401, null, 'GET')
  await log.close()
  expect(lines().map(({ path, status, suppressed }) => [path, status, suppressed])).toEqual([
    ['/v1/functions', 403, undefined],
    ...Array.from({ length: 5 }, () => ['/v1/guess', 401, undefined]),
    ['/v1/functions/a', 204, undefined],
    ['/v1/guess', 401, 995],
  ])
})
