// `fn gateway` and `fn worker` apart, each with a state directory of its own, on one Redis; and two `fn up` on it. What a caller sees is
// what `fn up` answers; a worker may die or be stopped under a call.
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FleetSandbox, InvocationRecord, LogLine } from '../../worker/api.ts'
import { turnMs } from '../../worker/fleet/turns.ts'
import { type FleetProcess, startFleetProcess } from '../support/fleet-process.ts'
import { freePort, ROOT } from '../support/platform.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'

const fixture = (name: string) => join(ROOT, 'test', 'fixtures', 'functions', `${name}.ts`)
const ECHO = join(ROOT, 'functions', 'echo.ts')
const respondAsync = { prefer: 'respond-async' }

let redis: TestRedis
let redisUrl: string
let gateway: FleetProcess
/** A folder that functions see. */
let flags: string
const running: FleetProcess[] = []

async function start(verb: 'up' | 'gateway' | 'worker', env: Record<string, string> = {}): Promise<FleetProcess> {
  const started = await startFleetProcess(verb, redisUrl, { FN_STEMS: '0', FN_VOLUME_ROOTS: flags, ...env })
  running.push(started)
  return started
}

async function deploy(at: FleetProcess, ...args: string[]): Promise<void> {
  const result = await at.fn('deploy', ...args)
  if (result.code !== 0) throw new Error(`fn deploy ${args.join(' ')}: ${result.stderr}\n${at.output()}`)
}

async function ended(at: FleetProcess, location: string): Promise<InvocationRecord> {
  let record: InvocationRecord | null = null
  await until(
    `${location} ended`,
    async () => {
      record = await at.json<InvocationRecord>(location)
      return record.endedAt !== null || record.state
    },
    60_000,
  )
  return record!
}

beforeAll(async () => {
  flags = mkdtempSync(join(tmpdir(), 'thaw-flags-'))
  chmodSync(flags, 0o755)
  redis = await startTestRedis()
  redisUrl = `unix://${redis.socketPath}`
  gateway = await start('gateway')
})
afterAll(async () => {
  const stopped = await Promise.allSettled(running.map((one) => one.stop()))
  await redis?.close()
  rmSync(flags, { recursive: true, force: true })
  for (const one of stopped) if (one.status === 'rejected') throw one.reason
})

describe('a gateway apart from its workers', () => {
  test('is not ready without a worker, says why, and refuses to deploy', async () => {
    const ready = await gateway.request('/readyz')
    expect(ready.status).toBe(503)
    expect(await ready.json()).toMatchObject({ ready: false, reason: expect.stringContaining('no worker') })
    expect(gateway.output()).toMatch(/^not ready http[\s\S]*no worker is registered/m)
    const refused = await gateway.fn('deploy', ECHO)
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/no worker is registered.*HOST_FULL/s)])
  })

  test('has versions loaded by a worker before it keeps them', async () => {
    await Promise.all([start('worker'), start('worker')])
    await until('both workers are seen', async () => (await gateway.json<unknown[]>('/v1/workers')).length === 2)
    expect((await gateway.request('/readyz')).status).toBe(200)
    await deploy(gateway, ECHO)
    await deploy(gateway, fixture('probe'))
    const broken = await gateway.fn('deploy', join(ROOT, 'test/fixtures/broken/throws-at-load.ts'))
    expect([broken.code, broken.stderr]).toEqual([1, expect.stringContaining('FUNCTION_INIT_FAILED')])
    expect((await gateway.fn('ls')).stdout).not.toContain('throws-at-load')
  })

  test('answers synchronous calls as the function did, and its failures with the codes of fn up', async () => {
    const json = await gateway.request('/fn/echo/a%2Fb?mode=json&status=201', { headers: { 'x-mine': '1' } })
    expect(json.status).toBe(201)
    expect(await json.json()).toMatchObject({ method: 'GET', rawUrl: '/a%2Fb?mode=json&status=201' })
    expect(json.headers.get('fn-start')).toMatch(/^(cold|warm|thawed|stem)$/)
    expect(json.headers.get('fn-durability')).toBeNull()
    const failures = [
      ['/fn/probe/throw/no', {}, 500, 'FUNCTION_THREW'],
      ['/fn/probe/exit/3', {}, 502, 'FUNCTION_CRASHED'],
      ['/fn/probe/sleep/5000', { 'fn-timeout': '200ms' }, 504, 'FUNCTION_TIMEOUT'],
      ['/fn/nobody', {}, 404, 'FUNCTION_NOT_FOUND'],
    ] as const
    for (const [path, headers, status, code] of failures) {
      const response = await gateway.request(path, { headers })
      expect([path, response.status, ((await response.json()) as { code: string }).code]).toEqual([path, status, code])
    }
    const listed = await gateway.json<InvocationRecord[]>('/v1/invocations?function=probe')
    expect(listed.map(({ error }) => error?.code)).toEqual(['FUNCTION_TIMEOUT', 'FUNCTION_CRASHED', 'FUNCTION_THREW'])
    expect(await gateway.json('/v1/functions/probe/dead-letters')).toEqual([])
  })

  test('carries large bodies and results between state directories, and keeps none', async () => {
    const body = randomBytes(3 * 1024 * 1024)
    const sync = await gateway.request('/fn/echo', { method: 'POST', body })
    expect(Buffer.from(await sync.arrayBuffer()).equals(body)).toBe(true)
    const accepted = await gateway.request('/fn/echo', { method: 'POST', body, headers: respondAsync })
    const location = accepted.headers.get('location') ?? ''
    expect([accepted.status, (await ended(gateway, location)).state]).toEqual([202, 'succeeded'])
    const result = await gateway.request(`${location}/result`)
    expect(Buffer.from(await result.arrayBuffer()).equals(body)).toBe(true)
    const files = (folder: string) => running.flatMap(({ stateDir }) => filesIn(join(stateDir, folder)))
    await until('bodies are gone', () => files('bodies').length + files('pulled').length === 0)
    // The asynchronous call's result may be asked for again; it lies with the gateway, as workers come and go.
    expect(files('results')).toEqual(filesIn(join(gateway.stateDir, 'results')))
    expect(files('results')).toHaveLength(1)
  })

  test('takes a call of a caller who left out of the worker', async () => {
    const leaving = new AbortController()
    const call = gateway.request('/fn/probe/aborting/1500', { signal: leaving.signal })
    call.catch(() => {})
    await until('it runs', async () => (await sandboxes()).some(({ state }) => state === 'busy'))
    leaving.abort()
    await until('its record says so', async () => {
      const [last] = await gateway.json<InvocationRecord[]>('/v1/invocations?function=probe&limit=1')
      return last?.error?.code === 'CLIENT_GONE' || JSON.stringify(last?.error)
    })
  })

  test('refuses what several machines cannot keep: a secret only some could read, a volume that lies on one', async () => {
    const secret = await gateway.request('/v1/secrets/PASSWORD', { method: 'PUT', body: 'x' })
    expect(secret.status).toBe(400)
    expect(((await secret.json()) as { detail: string }).detail).toMatch(
      /worker .* has another key.*FN_SECRET_KEY_FILE/,
    )
    const volume = await gateway.fn('deploy', ECHO, '--name', 'kept', '--volume', 'files:/files')
    expect([volume.code, volume.stderr]).toEqual([1, expect.stringContaining('a named volume lies on one machine')])
  })

  test('shows logs, events and sandboxes of all workers', async () => {
    const leaving = new AbortController()
    const events = await gateway.request('/v1/events', { signal: leaving.signal })
    const seenLive = readUntil(events, 'event: invocation')
    await gateway.request('/fn/echo?live', { method: 'POST', headers: respondAsync })
    expect(await seenLive).toContain('"function":"echo"')
    leaving.abort()
    const logs = await gateway.fn('logs', 'echo', '--json')
    expect(logs.stdout).toContain('REPORT')
    const seen = await sandboxes()
    expect(new Set(seen.map(({ worker }) => worker)).size).toBeGreaterThan(0)
    const idle = seen.find(({ state, function: name }) => name === 'echo' && state !== 'busy')
    expect((await gateway.fn('kill', idle!.id)).code).toBe(0)
    await until('it is gone', async () => (await sandboxes()).every(({ id }) => id !== idle!.id))
  })
})

describe('calls under way', () => {
  test('of a worker that is killed and of one that is stopped end on another, as the same attempt', async () => {
    const workers = running.filter(({ stateDir }) => stateDir.includes('thaw-worker-')).map(({ id }) => id)
    const names = workers.map((id) => nameFor(id, workers))
    for (const name of names)
      await deploy(gateway, fixture('patient'), '--name', name, '--timeout', '120s', '--volume', `${flags}:/flag`)
    const locations: string[] = []
    const submit = async () => {
      const name = names[locations.length % names.length]
      const accepted = await gateway.request(`/fn/${name}`, { method: 'POST', headers: respondAsync })
      locations.push(accepted.headers.get('location') ?? '')
    }
    const busy = async () =>
      (await sandboxes()).filter(({ state, function: name }) => state === 'busy' && names.includes(name))
    const busyWorkers = async () => [...new Set((await busy()).map(({ worker }) => worker))]
    await until(
      'two workers are busy',
      async () => {
        if ((await busyWorkers()).length >= 2) return true
        if (locations.length < 12 && (await busy()).length === locations.length) await submit()
        return `${locations.length} calls`
      },
      60_000,
    )
    writeFileSync(join(flags, 'go'), '')
    const [killedId, stoppedId] = await busyWorkers()
    const port = await freePort()
    const third = await start('worker', { FN_LISTEN: `127.0.0.1:${port}` })
    const told = async (path: string) => await fetch(`http://127.0.0.1:${port}${path}`)
    expect((await told('/readyz')).status).toBe(200)
    expect(await (await told('/metrics')).text()).toContain('thaw_sandboxes')
    expect((await told('/fn/patient')).status).toBe(404)
    const killed = running.find(({ id }) => id === killedId)!
    const stopped = running.find(({ id }) => id === stoppedId)!
    await Promise.all([killed.kill9(), stopped.stop()])
    for (const location of locations) {
      const record = await ended(gateway, location)
      expect([record.state, record.attempt, record.id]).toEqual(['succeeded', 1, location.split('/').at(-1)])
    }
    expect((await sandboxes()).map(({ worker }) => worker)).toContain(third.id)
  })
})

describe('two whole platforms on one Redis', () => {
  test('run what the other deployed, each call once, and fire a schedule once', async () => {
    await Promise.all(running.filter(({ stateDir }) => stateDir.includes('thaw-worker-')).map((one) => one.stop()))
    const [one, two] = await Promise.all([start('up'), start('up')])
    await deploy(one, ECHO, '--name', 'shared')
    await until('the other knows it', async () => (await two.request('/v1/functions/shared')).status === 200)
    const scheduledAt = Date.now()
    const scheduled = await two.fn('schedule', 'shared', 'set', 'tick', '* * * * * *')
    expect([scheduled.code, scheduled.stderr]).toEqual([0, expect.anything()])
    const body = randomBytes(200_000)
    const answer = await two.request('/fn/shared', { method: 'POST', body })
    expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true)
    const submitted = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        [one, two][index % 2]!.request('/fn/shared', { method: 'POST', body, headers: respondAsync }),
      ),
    )
    for (const accepted of submitted) {
      const location = accepted.headers.get('location') ?? ''
      expect((await ended(one, location)).state).toBe('succeeded')
      const result = await two.request(`${location}/result`)
      expect(Buffer.from(await result.arrayBuffer()).equals(body)).toBe(true)
      expect(await one.json<LogLine[]>(`${location}/logs`)).toMatchObject([{ stream: 'report' }])
    }
    const synchronous = `/v1/invocations/${answer.headers.get('fn-invocation-id')}`
    expect(await one.json(synchronous)).toMatchObject({ state: 'succeeded' })
    const others = [answer.headers.get('fn-invocation-id'), ...submitted.map(({ headers }) => idOf(headers))]
    const fires = async () => {
      const all = await one.json<InvocationRecord[]>('/v1/invocations?function=shared')
      return all.filter(({ id }) => !others.includes(id))
    }
    await until('it fired', async () => (await fires()).length >= 4)
    // Both know of every time it is due; if each made a call of it there would be twice as many.
    const dueTimes = (Date.now() - scheduledAt) / 1000 + 1
    expect((await fires()).length).toBeLessThanOrEqual(dueTimes)
  })
})

/** A function's name whose calls this worker gets first. */
function nameFor(worker: string, workers: readonly string[]): string {
  for (let index = 0; ; index++) {
    const name = `patient-${index}`
    if (turnMs(`default/${name}`, worker, workers) === 0) return name
  }
}

async function readUntil(response: Response, text: string): Promise<string> {
  let read = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body!) {
    read += decoder.decode(chunk, { stream: true })
    if (read.includes(text) && read.endsWith('\n\n')) return read
  }
  return read
}

function idOf(headers: Headers): string | undefined {
  return headers.get('location')?.split('/').at(-1)
}

async function sandboxes(): Promise<FleetSandbox[]> {
  return await gateway.json<FleetSandbox[]>('/v1/sandboxes')
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
