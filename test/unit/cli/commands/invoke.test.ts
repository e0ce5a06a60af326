// `fn invoke`: what goes over the wire, where the answer goes, and the exit status of each way it can end.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Budget, tellExcess } from '../../../../runtime/sandbox/overuse.ts'
import { LOCK_BUDGET, SOCKET_BUDGET } from '../../../../runtime/sandbox/overuse-watch.ts'
import { type Asked, type FakeGateway, problem, runFn, startFakeGateway } from '../../../support/run-fn.ts'
import { sampleRecord } from './samples.ts'

const ID = '01890000-0000-7000-8000-000000000001'
const named = { 'fn-invocation-id': ID, 'fn-version': '1' }
const tooMany = (budget: Budget) => tellExcess({ held: budget.perSandbox + 1, bound: budget.perSandbox }, budget)
let gateway: FakeGateway
const folder = mkdtempSync(join(tmpdir(), 'fn-invoke-'))
beforeAll(async () => {
  gateway = await startFakeGateway({
    'GET /fn/hello/': { body: 'Hello', headers: named },
    'POST /fn/hello/': (asked) =>
      asked.headers.prefer === 'respond-async'
        ? { status: 202, headers: { ...named, location: `/v1/invocations/${ID}` }, body: { id: ID, state: 'queued' } }
        : { body: asked.body, headers: named },
    'DELETE /fn/hello@prod/items/3': { status: 204, headers: named },
    'GET /fn/hello/a%20b': { body: 'encoded' },
    'GET /fn/hello/missing': { status: 404, body: 'no such item', headers: named },
    'GET /fn/hello/sorry': { status: 503, body: 'later', headers: named },
    'GET /fn/hello/throws': problem(500, 'FUNCTION_THREW', 'function', 'Error: no', {
      invocationId: ID,
      stack: 'Error: no\n    at default (hello.ts:3:9)',
    }),
    'GET /fn/hello/network': problem(500, 'FUNCTION_THREW', 'function', 'TypeError: fetch failed', {
      invocationId: ID,
      stack: 'TypeError: fetch failed\n[cause]: Error: getaddrinfo EAI_AGAIN example.com',
    }),
    'GET /fn/hello/disk': problem(500, 'FUNCTION_THREW', 'function', "EROFS: read-only file system, open '/x'", {
      invocationId: ID,
    }),
    'GET /fn/hello/memory': problem(502, 'FUNCTION_OUT_OF_MEMORY', 'function', 'killed at its memory limit of 64m', {
      invocationId: ID,
    }),
    'GET /fn/hello/locks': problem(502, 'FUNCTION_OUT_OF_MEMORY', 'function', tooMany(LOCK_BUDGET), {
      invocationId: ID,
    }),
    'GET /fn/hello/sockets': problem(502, 'FUNCTION_OUT_OF_MEMORY', 'function', tooMany(SOCKET_BUDGET), {
      invocationId: ID,
    }),
    'GET /fn/hello/protocol': problem(502, 'FUNCTION_PROTOCOL', 'sandbox', 'nonsense on the wire'),
    'GET /fn/hello/busy': problem(429, 'FUNCTION_BUSY', 'worker', 'too many calls'),
    'GET /fn/hello/full': problem(503, 'HOST_FULL', 'worker', 'no room'),
    'GET /fn/hello/cut': { body: 'half', headers: { ...named, 'content-length': '100' }, cut: true },
    'GET /fn/hello/own-problem': {
      status: 400,
      headers: { 'content-type': 'application/problem+json', ...named },
      body: { title: 'the function says no' },
    },
    [`GET /v1/invocations/${ID}`]: { body: sampleRecord(ID) },
  })
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await gateway.close()
})

const invoke = (args: string[], stdin?: string) =>
  runFn(['invoke', ...args], {
    env: { FN_URL: gateway.url, FN_TOKEN: 'fn_secret' },
    cwd: folder,
    ...(stdin === undefined ? {} : { stdin }),
  })
const last = (): Asked => gateway.asked.at(-1)!

describe('the request', () => {
  test('is a GET of / with our token, and the body of the answer is all there is on stdout', async () => {
    expect(await invoke(['hello'])).toEqual({ status: 0, stdout: 'Hello', stderr: '' })
    expect(last()).toMatchObject({
      method: 'GET',
      target: '/fn/hello/',
      headers: { authorization: 'Bearer fn_secret' },
    })
  })

  test.each([
    [['--data', '{"a": 1}'], '{"a": 1}', 'application/json'],
    [['--data', 'plain words'], 'plain words', 'text/plain;charset=utf-8'],
    [['--data', '{"a": 1}', '-H', 'Content-Type: text/csv'], '{"a": 1}', 'text/csv'],
    [['--data', '{half', '-H', 'content-type: text/x'], '{half', 'text/x'],
    [['--data', '-'], 'from stdin', 'application/octet-stream'],
    [['--data', '@event.json'], '{"event": true}', 'application/json'],
    [['--data', '@event.bin'], 'raw', 'application/octet-stream'],
  ])('with %j posts %s as %s', async (args, body, type) => {
    writeFileSync(join(folder, 'event.json'), '{"event": true}')
    writeFileSync(join(folder, 'event.bin'), 'raw')
    expect(await invoke(['hello', ...args], 'from stdin')).toMatchObject({ status: 0, stdout: body })
    expect(last().headers['content-type']).toBe(type)
    if (args[1]?.startsWith('@')) expect(last().headers['content-length']).toBe(String(body.length))
  })

  test('takes version or alias, method, path with query, and headers that replace ours', async () => {
    const args = ['hello@prod', '-X', 'delete', '-p', 'items/3?dry=1', '-H', 'Authorization: Basic x']
    args.push('-H', 'X-A: 1', '-H', 'Host: shop.example')
    expect(await invoke(args)).toMatchObject({ status: 0, stdout: '' })
    expect(last()).toMatchObject({
      target: '/fn/hello@prod/items/3?dry=1',
      headers: { authorization: 'Basic x', 'x-a': '1', host: 'shop.example' },
    })
  })

  test('takes any method that HTTP has, in whatever case', async () => {
    for (const method of ['m-search', 'PROPFIND']) {
      await invoke(['hello', '--method', method])
      expect(last().method).toBe(method.toUpperCase())
    }
    expect((await invoke(['hello', '--method', 'G ET'])).status).toBe(2)
  })

  test('encodes in the path only what HTTP cannot carry', async () => {
    expect((await invoke(['hello', '--path', '/a b'])).stdout).toBe('encoded')
    await invoke(['hello', '--path', '/a/%2e%2e/ü?q=[1]'])
    expect(last().target).toBe('/fn/hello/a/%2e%2e/%C3%BC?q=[1]')
  })

  test('carries the limits of this call and its time-out as headers', async () => {
    await invoke([
      'hello',
      '--memory',
      '64m',
      '--cpus',
      '0.5',
      '--device-read-bps',
      '/dev/sda:1m,/dev/sdb:2m',
      '--device-read-bps',
      '/dev/sdc:3m',
      '--timeout',
      '2s',
    ])
    expect(last().headers).toMatchObject({
      'fn-limit-memory': '64m',
      'fn-limit-cpus': '0.5',
      'fn-limit-device-read-bps': '/dev/sda:1m,/dev/sdb:2m,/dev/sdc:3m',
      'fn-timeout': '2s',
    })
  })

  test('names a file that is not there', async () => {
    expect(await invoke(['hello', '--data', '@none.json'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('--data @none.json: no file'),
    })
  })
})

describe('exit status', () => {
  test.each([
    ['/missing', 0, 'no such item', /404 Not Found, answered by the function/],
    ['/sorry', 3, 'later', /503 Service Unavailable, answered by the function/],
    [
      '/throws',
      3,
      '',
      /^fn: Error: no \(FUNCTION_THREW\)\n {4}at default \(hello\.ts:3:9\)\n→ what it wrote: fn logs --invocation 0189/,
    ],
    ['/protocol', 3, '', /FUNCTION_PROTOCOL/],
    ['/busy', 1, '', /FUNCTION_BUSY/],
    ['/full', 1, '', /HOST_FULL/],
    ['/cut', 3, 'half', /broke off[\s\S]*fn get invocation 0189/],
    ['/own-problem', 0, '{"title":"the function says no"}', /400 Bad Request, answered by the function/],
    ['/no-such-route', 1, '', /NOT_FOUND/],
  ])('of %s is %i, its body on stdout, the reason on stderr', async (path, status, stdout, words) => {
    const result = await invoke(['hello', '-p', path])
    expect(result.stderr).toMatch(words)
    expect([result.status, result.stdout]).toEqual([status, stdout])
  })
})

test.each([
  ['network', '→ a sandbox has no network unless it is deployed with --network'],
  ['disk', '→ it may write to /tmp'],
  ['memory', '→ give it more: fn deploy … --memory SIZE'],
  ['locks', '→ have it hold fewer file locks at once: it is their number'],
  ['sockets', '→ have it hold fewer TCP sockets at once: it is their number'],
])('what a sandbox lacks by default is named with what gives it: %s', async (path, hint) => {
  expect(await invoke(['hello', '--path', `/${path}`])).toMatchObject({
    status: 3,
    stderr: expect.stringContaining(hint),
  })
})

test('--meter reports phases, CPU, memory and I/O on stderr', async () => {
  const { status, stdout, stderr } = await invoke(['hello', '--meter'])
  expect([status, stdout]).toEqual([0, 'Hello'])
  expect(stderr).toMatchInlineSnapshot(`
    "invocation  01890000-0000-7000-8000-000000000001
    function    hello version 1
    outcome     succeeded 200
    created     2026-01-02T03:04:05.678Z
    start       thawed
    phases      queue 0.10 ms  start 0 ms  thaw 0.05 ms  init 0 ms  run 10.5 ms
    CPU         user 1.50 ms  system 250 µs  throttled 3 ms
    memory      peak 17 MiB of 128 MiB  at end 16 MiB
    disk        read 4 KiB in 1  written 0 B in 0 operations
    pages       12 faults, 9 tasks at once
    freezer     freeze 67 µs  thaw 43 µs
    limits      cpuShares 1024  memory 128m  memorySwap 256m  pids 64  deviceReadBps /dev/sda:1024  tmpfs 64m
    "
  `)
})

test('--meter reports a call that failed as well', async () => {
  const { status, stderr } = await invoke(['hello', '-p', '/throws', '--meter'])
  expect(status).toBe(3)
  expect(stderr).toContain('phases')
  expect(stderr).toContain('FUNCTION_THREW')
})

test('--async prints the id alone, and on stderr how to get the result; with --json the body', async () => {
  const { status, stdout, stderr } = await invoke(['hello', '--async', '--data', '{}'])
  expect([status, stdout]).toEqual([0, `${ID}\n`])
  expect(stderr).toContain(`fn get invocation ${ID} --result`)
  expect(JSON.parse((await invoke(['hello', '--async', '--json', '--data', '{}'])).stdout)).toEqual({
    id: ID,
    state: 'queued',
  })
})

test('--callback and --delay travel with a queued call, and are refused for one that is not', async () => {
  const flags = ['--callback', 'https://example.com/done', '--delay', '10m']
  expect((await invoke(['hello', '--async', '--data', '1', ...flags])).status).toBe(0)
  expect(last().headers).toMatchObject({ 'fn-callback': 'https://example.com/done', 'fn-delay': '10m' })
  const now = await invoke(['hello', ...flags])
  expect(now).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/--callback is for queued calls[\s\S]*--async/),
  })
  const place = await invoke(['hello', '--async', '--callback', 'example.com'])
  expect(place).toMatchObject({ status: 2, stderr: expect.stringContaining('http://') })
})
