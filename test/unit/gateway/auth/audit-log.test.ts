import { EventEmitter } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { AuditRetention } from '../../../../gateway/auth/audit-files.ts'
import { AuditLog } from '../../../../gateway/auth/audit-log.ts'
import type { GatewayResponse } from '../../../../gateway/response.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { SILENT } from '../../../support/fake-gateway-parts.ts'
import { until } from '../../../support/until.ts'

const KIB = 1024
let stateDir: string
let clock: FakeClock
let log: AuditLog
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'thaw-audit-'))
  clock = new FakeClock()
  begin()
})
afterEach(async () => {
  await log.close()
  rmSync(stateDir, { recursive: true })
})

function begin(retention?: AuditRetention): void {
  log = new AuditLog(stateDir, clock, SILENT, retention)
}

interface Options {
  readonly method?: string
  readonly namespace?: string
  readonly address?: string
}

/** One call that ended with a status; `who` null: nobody known. */
function call(path: string, status: number, who: string | null = 'ci', options: Options = {}): void {
  const { method = 'PUT', namespace = 'shop', address = '192.0.2.1' } = options
  const caller = who === null ? null : { id: `id of ${who}`, name: who, namespace }
  const outgoing = Object.assign(new EventEmitter(), { headersSent: true, statusCode: status, caller })
  const about = { path, namespace: who === null ? namespace : null, address, refusedAlone: false }
  log.watch({ method } as IncomingMessage, outgoing as unknown as GatewayResponse, about)
  outgoing.emit('close')
}

const folder = () => join(stateDir, 'audit')
const files = () => (existsSync(folder()) ? readdirSync(folder()).sort() : [])
const linesIn = (file: string) =>
  readFileSync(join(folder(), file), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
const lines = () => files().flatMap(linesIn)
const texts = () =>
  files()
    .map((file) => (existsSync(join(folder(), file)) ? readFileSync(join(folder(), file), 'utf8') : ''))
    .join('')
/** So many lines have reached the disk. */
const written = (count: number) =>
  until('the lines are written', () => texts().split('\n').length - 1 === count || texts())

describe('a line is written', () => {
  test('for each change, in the file of its namespace, and for no reading', async () => {
    call('/v1/functions', 200, 'ci', { method: 'GET' })
    call('/v1/functions/a', 204, 'ci', { method: 'DELETE' })
    call('/v1/functions/b', 201, 'ci', { namespace: 'default' })
    await log.close()
    expect(files()).toEqual(['audit-shop.jsonl', 'audit.jsonl'])
    expect(linesIn('audit-shop.jsonl')).toMatchObject([
      { who: 'ci', token: 'id of ci', namespace: 'shop', method: 'DELETE', path: '/v1/functions/a', status: 204 },
    ])
    expect(linesIn('audit.jsonl')).toMatchObject([{ path: '/v1/functions/b' }])
    expect(statSync(join(folder(), 'audit.jsonl')).mode & 0o777).toBe(0o600)
  })

  test('at once for the first refused call of a subject and kind, and once a minute for how many came after it', async () => {
    for (let index = 0; index < 120_000; index++) call(`/v1/tokens/${index}`, 403, 'low', { method: 'GET' })
    call('/v1/tokens/x', 429, 'low', { method: 'GET' })
    await written(2)
    expect(lines().map(({ path, status, count }) => [path, status, count])).toEqual([
      ['/v1/tokens/0', 403, undefined],
      ['/v1/tokens/x', 429, undefined],
    ])
    await clock.advance(60_000)
    await written(3)
    expect(lines().map(({ path, status, count }) => [path, status, count])).toEqual([
      ['/v1/tokens/0', 403, undefined],
      ['/v1/tokens/x', 429, undefined],
      ['/v1/tokens/119999', 403, 119_999],
    ])
    call('/v1/tokens/again', 403, 'low', { method: 'GET' })
    await written(4)
  })

  test('as a count for changes that failed, and when the log closes', async () => {
    for (let index = 0; index < 1000; index++) call(`/v1/aliases/${index}`, 404)
    await log.close()
    expect(lines().map(({ count }) => count)).toEqual([undefined, 999])
  })

  test('for unknown callers by address, for a few addresses apart, and in no file that they name', async () => {
    for (let index = 0; index < 10_000; index++)
      call('/v1/guess', 401, null, { method: 'GET', address: `10.0.${index >> 8}.${index & 255}`, namespace: 'shop' })
    for (let index = 0; index < 10; index++) call('/v1/guess', 499, null)
    await log.close()
    expect(files()).toEqual(['audit.jsonl'])
    expect(lines().length).toBeLessThan(70)
    expect(lines().reduce((sum, { count = 1 }) => sum + (count as number), 0)).toBe(10_010)
  })
})

describe('the files', () => {
  const small = { keepMs: 24 * 3_600_000 * 10, namespaceBytes: 256 * KIB }

  test('of a namespace stay below its bound, and noise of one subject costs only its own lines', async () => {
    await log.close()
    begin(small)
    for (let index = 0; index < 50; index++) call(`/v1/evidence/${index}`, 201, 'auditor')
    for (let round = 0; round < 40; round++) {
      for (let index = 0; index < 200; index++) call(`/v1/noise/${round}/${index}/${'x'.repeat(200)}`, 201, 'noisy')
      await until('the last is written', () => texts().includes(`/v1/noise/${round}/199/`))
    }
    await log.close()
    const bytes = files().reduce((sum, file) => sum + statSync(join(folder(), file)).size, 0)
    expect(bytes).toBeLessThanOrEqual(small.namespaceBytes + small.namespaceBytes / 16)
    expect(lines().filter(({ who }) => who === 'auditor')).toHaveLength(50)
    const noise = lines().filter(({ who }) => who === 'noisy')
    expect(noise.length).toBeLessThan(8000)
    expect(noise.some(({ path }) => String(path).startsWith('/v1/noise/39/199/'))).toBe(true)
  })

  test('of one namespace take nothing from another’s', async () => {
    await log.close()
    begin(small)
    call('/v1/evidence', 201, 'auditor', { namespace: 'victim' })
    for (let round = 0; round < 20; round++) {
      for (let index = 0; index < 200; index++) call(`/v1/noise/${'x'.repeat(200)}`, 201, `noisy${index}`)
      await clock.advance(0)
    }
    await log.close()
    expect(linesIn('audit-victim.jsonl')).toMatchObject([{ path: '/v1/evidence' }])
  })

  test('go when their last line is older than they are kept', async () => {
    await log.close()
    begin(small)
    call('/v1/old', 201)
    call('/v1/new', 201, 'ci', { namespace: 'other' })
    await log.close()
    const old = (clock.now() - small.keepMs - 1000) / 1000
    utimesSync(join(folder(), 'audit-shop.jsonl'), old, old)
    utimesSync(join(folder(), 'audit-other.jsonl'), clock.now() / 1000, clock.now() / 1000)
    begin(small)
    await log.close()
    expect(lines().map(({ path }) => path)).toEqual(['/v1/new'])
  })

  test('take no more lines of one subject than the disk keeps up with, and say how many were left out', async () => {
    for (let index = 0; index < 5000; index++) call(`/v1/functions/${index}`, 201, 'fast')
    call('/v1/functions/mine', 201, 'slow')
    await written(2001)
    call('/v1/functions/last', 201, 'fast')
    await log.close()
    expect(lines().filter(({ who }) => who === 'fast')).toHaveLength(2001)
    expect(lines().find(({ path }) => path === '/v1/functions/last')).toMatchObject({ leftOut: 3000 })
    expect(lines().some(({ who }) => who === 'slow')).toBe(true)
  })
})
