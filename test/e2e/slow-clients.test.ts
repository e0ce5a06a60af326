// A thousand connections held by slow clients (slowhttptest: slow heads, slow bodies, slow readers) beside healthy calls: those
// are served as before, the others are cut by the gateway's time-outs, and nothing stays behind.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { HttpConnection } from '../../bench/http-connection.ts'
import { spawn } from '../../runtime/host/spawn.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

const HELD = 1000
const WINDOWS = 15
const CALLS_IN_WINDOW = 200
/** Below this a p99 is the noise of the machine. */
const NOISE_MS = 2
let platform: Platform
/** Nobody attacks this one: what a healthy call takes on this machine at the same time. */
let quiet: Platform

beforeAll(async () => {
  platform = await startPlatform({ env: { FN_STEMS: '0' } })
  quiet = await startPlatform({ env: { FN_STEMS: '0' } })
  for (const each of [platform, quiet]) await each.deploy(join(ROOT, 'functions', 'hello.ts'), '--min-warm', '1')
  await platform.deploy(join(ROOT, 'functions', 'echo.ts'))
  const torrent = join(ROOT, 'test', 'fixtures', 'functions', 'torrent.ts')
  await platform.deploy(torrent, '--sandbox-concurrency', '64', '--concurrency', '200')
})
afterAll(() => Promise.all([platform?.stop(), quiet?.stop()]))

/** Attacks of slowhttptest that together hold HELD connections, each for as long as it is let. */
const ATTACKS: readonly (readonly [string, ...string[]])[] = [
  ['/fn/hello', '-H', '-c', '400', '-r', '200', '-i', '5'],
  ['/fn/echo/', '-B', '-c', '400', '-r', '200', '-i', '5', '-x', '4', '-s', '4096', '-t', 'POST'],
  ['/fn/torrent/50000000', '-X', '-c', '200', '-r', '100', '-n', '5', '-z', '32', '-w', '16', '-y', '64'],
]

function attack() {
  return ATTACKS.map(([path, ...args]) =>
    spawn('slowhttptest', [...args, '-l', '90', '-v', '0', '-u', platform.url + path], {
      stdout: 'ignore',
      stderr: 'ignore',
    }),
  )
}

/** Connections to the platform that are established, from its side. */
function connections(): number {
  const port = platform.port.toString(16).toUpperCase().padStart(4, '0')
  const local = new RegExp(`^\\s*\\d+: [0-9A-F]+:${port} [0-9A-F:]+ 01 `)
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .filter((line) => local.test(line)).length
}

/** p99 of a healthy call at each platform, ms: calls in windows, now here, now there, so that noise of the machine meets both; the
 *  median of the windows, so that a burst of it spoils one. */
async function healthyP99Ms(): Promise<{ attacked: number; quiet: number }> {
  const connections = [await HttpConnection.open(platform.port), await HttpConnection.open(quiet.port)]
  const windows: number[][] = [[], []]
  for (let window = 0; window < WINDOWS * 2; window++)
    windows[window % 2]!.push(await windowP99Ms(connections[window % 2]!))
  for (const connection of connections) connection.close()
  const [attacked, other] = windows.map((all) => all.toSorted((a, b) => a - b)[Math.floor(WINDOWS / 2)]!)
  return { attacked: attacked!, quiet: other! }
}

async function windowP99Ms(connection: HttpConnection): Promise<number> {
  const request = Buffer.from('GET /fn/hello HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const times: number[] = []
  for (let call = 0; call < CALLS_IN_WINDOW; call++) {
    const startedMs = performance.now()
    expect((await connection.exchange(request)).status).toBe(200)
    times.push(performance.now() - startedMs)
  }
  return times.toSorted((a, b) => a - b)[Math.floor(CALLS_IN_WINDOW * 0.99)]!
}

const openFiles = (): number => readdirSync(`/proc/${platform.pid}/fd`).length

test(`healthy calls keep their p99 beside ${HELD} slow clients, and those are cut`, async () => {
  await healthyP99Ms()
  const files = openFiles()
  const attackers = attack()
  try {
    await until('the slow clients are there', () => connections() >= HELD * 0.97 || `${connections()}`, 20_000)
    const p99Ms = await healthyP99Ms()
    expect(p99Ms.attacked).toBeLessThanOrEqual(3 * Math.max(p99Ms.quiet, NOISE_MS))
    expect(connections()).toBeGreaterThan(HELD / 2)
    await until('they are cut', () => connections() < 20 || `${connections()}`, 90_000)
  } finally {
    for (const attacker of attackers) attacker.kill('SIGKILL')
    await Promise.all(attackers.map(({ exited }) => exited))
  }
  // The sandboxes that served slow readers keep theirs.
  await until('their files are closed', () => openFiles() < files + HELD / 5 || `${openFiles()}, before ${files}`)
  const states = await platform.json<{ function: string; state: string }[]>('/v1/sandboxes')
  expect(states.filter(({ state }) => state === 'busy')).toEqual([])
  // A few were still held when their clients were ended.
  const path = '/v1/invocations?function=torrent&limit=1000'
  const slow = await platform.json<{ error: { code: string } | null }[]>(path)
  expect(slow.filter(({ error }) => error?.code === 'CLIENT_SLOW').length).toBeGreaterThan(150)
  expect((await platform.request('/fn/echo/')).status).toBe(200)
})
