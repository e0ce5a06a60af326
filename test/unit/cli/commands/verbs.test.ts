// Every verb that reads or changes something: the requests it makes, what a person sees, what a program sees.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { unpackTar } from 'modern-tar'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Asked, type FakeGateway, problem, runFn, startFakeGateway } from '../../../support/run-fn.ts'
import { sampleFunction, sampleRecord, sampleSandbox, sampleVersion } from './samples.ts'

const HANDLERS = fileURLToPath(new URL('../../../fixtures/handlers', import.meta.url))
const ID = '01890000-0000-7000-8000-000000000001'
const line = (stream: string, text: string) => ({
  time: '2026-01-02T03:04:05.678Z',
  function: 'hello',
  stream,
  line: text,
})
const LINES = [line('stdout', 'out'), line('stderr', 'err'), line('report', 'REPORT x')]
let resultAsks = 0

let gateway: FakeGateway
beforeAll(async () => {
  gateway = await startFakeGateway({
    'GET /v1/functions': { body: [sampleFunction] },
    'GET /v1/functions/hello': { body: sampleFunction },
    'GET /v1/functions/single': { body: { ...sampleFunction, name: 'single', versions: [sampleVersion(2)] } },
    'DELETE /v1/functions/hello': { status: 204 },
    'GET /v1/functions/hello/versions': { body: sampleFunction.versions },
    'PUT /v1/functions/hello/aliases/latest': (asked) => ({
      body: { alias: 'latest', ...JSON.parse(asked.body.toString()) },
    }),
    'PUT /v1/functions/hello/aliases/prod': (asked) => ({
      body: { alias: 'prod', ...JSON.parse(asked.body.toString()) },
    }),
    'DELETE /v1/functions/hello/aliases/prod': { status: 204 },
    'GET /v1/functions/hello/logs': (asked) =>
      asked.target.includes('follow=true')
        ? {
            headers: { 'content-type': 'application/x-ndjson' },
            body: `${LINES.map((entry) => JSON.stringify(entry)).join('\n')}\n\n`,
          }
        : { body: LINES },
    [`GET /v1/invocations/${ID}/logs`]: { body: LINES },
    'GET /v1/invocations': (asked) => ({
      body: /function=(unknown|single)/.test(asked.target) ? [] : [sampleRecord(ID)],
    }),
    'GET /v1/functions/unknown': problem(404, 'FUNCTION_NOT_FOUND', 'gateway', 'unknown function unknown'),
    [`GET /v1/invocations/${ID}`]: { body: sampleRecord(ID) },
    [`GET /v1/invocations/${ID}/result`]: () =>
      ++resultAsks === 1
        ? { status: 202, body: sampleRecord(ID) }
        : { status: 202, headers: { 'fn-version': '1' }, body: 'its own 202' },
    'PUT /v1/tokens/ci': { status: 201, body: { name: 'ci', token: 'fn_made' } },
    'GET /v1/functions/hello/schedules': { body: [] },
    'GET /v1/sandboxes': {
      body: [sampleSandbox('aab1', 'idle'), sampleSandbox('aab2', 'frozen', 'other'), sampleSandbox('c3', 'busy')],
    },
    'POST /v1/sandboxes/aab1/freeze': { body: sampleSandbox('aab1', 'frozen') },
    'POST /v1/sandboxes/c3/freeze': problem(409, 'SANDBOX_STATE', 'worker', 'sandbox c3 is busy'),
    'GET /readyz': { status: 503, body: { ready: false, reason: 'Redis is away (its disk is full)' } },
    'GET /v1/doctor': {
      body: {
        cgroupMode: 'hybrid',
        kernel: '6.1',
        arch: 'x64',
        cores: 2,
        memoryBytes: 1024 ** 3,
        swapBytes: 0,
        ociRuntime: { path: 'runc', version: '1.1' },
        nodeVersion: 'v24',
        freezer: 'cgroup.freeze',
        limits: {
          memory: { enforced: true, how: 'memory.limit_in_bytes' },
          blkioWeight: { enforced: false, how: 'no bfq', fix: 'modprobe bfq' },
        },
      },
    },
    'PUT /v1/functions/short-form': {
      status: 201,
      body: { ...sampleVersion(3), created: true, url: 'http://x/fn/short-form' },
    },
    'PUT /v1/functions/again': { status: 200, body: { ...sampleVersion(3), created: false } },
    'PUT /v1/functions/broken': problem(422, 'FUNCTION_INIT_FAILED', 'function', 'Error: at load', {
      stack: 'Error: at load\n    at hello.ts:1:7',
    }),
  })
})
afterAll(() => gateway.close())

const fn = (...args: string[]) =>
  runFn(args, { env: { FN_URL: gateway.url, FN_TOKEN: 'fn_t', HERE: 'yes' }, cwd: HANDLERS })
const last = (): Asked => gateway.asked.at(-1)!

describe('deploy', () => {
  test('tells each step on stderr and the URL on stdout, and sends bundle, map and settings', async () => {
    const { status, stdout, stderr } = await fn(
      'deploy',
      'short-form.ts',
      '--memory',
      '64m',
      '-e',
      'A=b=c',
      '-e',
      'HERE',
      '--timeout',
      '5s',
      '--alias',
      'prod',
      '--ulimits',
      'nofile=10',
      '--ulimits',
      'core=0',
      '--retry-attempts',
      '1',
    )
    expect([status, stdout]).toEqual([0, 'http://x/fn/short-form\n'])
    expect(stderr).toMatch(
      /^bundled +[\d.]+ KiB in .*\nuploaded .*\nloaded .*\nversion +3 of short-form is latest, prod\n$/,
    )
    expect(last().target).toBe('/v1/functions/short-form?alias=prod')
    expect(last().headers).toMatchObject({ authorization: 'Bearer fn_t', 'content-type': 'application/x-tar' })
    const entries = await unpackTar(last().body)
    expect(entries.map((entry) => entry.header.name)).toEqual(['fn.json', 'index.cjs', 'index.cjs.map'])
    expect(JSON.parse(Buffer.from(entries[0]!.data!).toString())).toEqual({
      name: 'short-form',
      entry: 'short-form.ts',
      form: 'web',
      timeout: '5s',
      retry: { attempts: 1 },
      env: { A: 'b=c', HERE: 'yes' },
      limits: { memory: '64m', ulimits: ['nofile=10', 'core=0'] },
    })
  })

  test('sends public only when --no-public says so', async () => {
    await fn('deploy', 'short-form.ts', '--no-public')
    const entries = await unpackTar(last().body)
    expect(JSON.parse(Buffer.from(entries[0]!.data!).toString())).toMatchObject({ public: false })
  })

  test('says when the content was there before, and with --json prints the answer alone', async () => {
    expect((await fn('deploy', 'short-form.ts', '--name', 'again')).stderr).toContain('deployed before')
    const { stdout } = await fn('deploy', 'short-form.ts', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ version: 3, created: true })
  })

  test('that does not load shows the stack and ends with 1', async () => {
    const { status, stdout, stderr } = await fn('deploy', 'short-form.ts', '--name', 'broken')
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(
      /fn: Error: at load \(FUNCTION_INIT_FAILED\)\n {4}at hello\.ts:1:7\n→ this happened while its code was loaded/,
    )
  })

  test('with --check stops at a type error before anything is sent', async () => {
    const before = gateway.asked.length
    const { status, stderr } = await fn('deploy', '../broken/type-error.ts', '--check')
    expect(status).toBe(1)
    expect(stderr).toContain('type-error.ts:2:7')
    expect(gateway.asked.length).toBe(before)
  })
})

describe('functions', () => {
  test('ls lists name, latest, aliases and URL', async () => {
    const { stdout } = await fn('ls')
    expect(stdout).toMatch(
      /^NAME +LATEST +VERSIONS +ALIASES +QUEUE +UPDATED +URL\nhello +2 +3 +prod→1=90 3=10 +\d+d +http:\/\/127\.0\.0\.1:8080\/fn\/hello\n$/,
    )
  })

  test('get shows aliases, and the settings and limits of latest', async () => {
    const { stdout } = await fn('get', 'hello')
    for (const words of [
      /^prod +1=90 3=10$/m,
      /^version +2, created/m,
      /^timeout +30s/m,
      /memory 128m/,
      /^env +LEVEL$/m,
    ]) {
      expect(stdout).toMatch(words)
    }
  })

  test('versions are newest first, with the share each alias gives them', async () => {
    const { stdout } = await fn('versions', 'hello')
    expect(
      stdout
        .split('\n')
        .slice(1, 4)
        .map((row) => row.slice(0, 19).trim()),
    ).toEqual(['3        prod 10 %', '2        latest', '1        prod 90 %'])
  })

  test('rm removes each one named', async () => {
    expect(await fn('rm', 'hello')).toEqual({ status: 0, stdout: 'removed hello\n', stderr: '' })
    expect(await fn('rm', 'hello', '--json')).toEqual({ status: 0, stdout: '', stderr: '' })
  })

  test('alias shows, sets, splits and removes', async () => {
    expect((await fn('alias', 'hello')).stdout).toMatch(/prod +1=90 3=10/)
    expect((await fn('alias', 'hello', 'prod', '3')).stdout).toBe('hello@prod is 3\n')
    expect(JSON.parse(last().body.toString())).toEqual({ weights: { '3': 100 } })
    expect((await fn('alias', 'hello', 'prod', 'v1=80', '2=20%')).stdout).toBe('hello@prod is 1=80 2=20\n')
    expect((await fn('alias', 'hello', 'prod', '--rm')).stdout).toBe('removed hello@prod\n')
    expect(last()).toMatchObject({ method: 'DELETE', target: '/v1/functions/hello/aliases/prod' })
  })

  test('rollback goes to the version before latest, or the one named', async () => {
    expect((await fn('rollback', 'hello')).stdout).toBe('latest of hello is version 1 (was 2)\n')
    expect(JSON.parse(last().body.toString())).toEqual({ weights: { '1': 100 } })
    expect((await fn('rollback', 'hello', 'v3')).stdout).toContain('version 3')
    expect(await fn('rollback', 'single')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('no version before 2'),
    })
  })
})

describe('invocations', () => {
  test('jobs lists records and hands on what to look for', async () => {
    const { stdout } = await fn('jobs', 'hello', '--state', 'failed', '--since', '10m', '-n', '5', '--after', ID)
    expect(stdout).toMatch(new RegExp(`${ID} +hello@1 +succeeded +200 +thawed +10.5 ms`))
    const query = new URL(last().target, gateway.url).searchParams
    expect(Object.fromEntries(query)).toMatchObject({ function: 'hello', state: 'failed', limit: '5', after: ID })
    expect(Number.isNaN(Date.parse(query.get('since')!))).toBe(false)
  })

  test('jobs of a function nobody knows is an error; one without calls has none, one that is gone still has its own', async () => {
    const unknown = await fn('jobs', 'unknown')
    expect(unknown).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining('unknown function unknown'),
    })
    expect(await fn('jobs', 'single')).toMatchObject({ status: 0, stdout: 'no invocations\n' })
    expect(await fn('jobs', 'gone')).toMatchObject({ status: 0, stdout: expect.stringContaining(ID) })
  })

  test('get invocation shows the record; --result asks again until there is one, a 202 of the function’s own too', async () => {
    expect((await fn('get', 'invocation', ID)).stdout).toMatch(/^outcome +succeeded 200$/m)
    const early = await fn('get', 'invocation', ID, '--result', '--wait', '10s')
    expect(early).toMatchObject({ status: 1, stderr: expect.stringContaining('has no result yet') })
    resultAsks = 0
    expect(await fn('get', 'invocation', ID, '--result', '--wait', '2m')).toMatchObject({
      status: 0,
      stdout: 'its own 202',
    })
  })

  test('logs shows a terminal what a function printed without obeying it', async () => {
    const wild = [
      {
        time: '2026-01-02T03:04:05.678Z',
        stream: 'stdout',
        line: '\u001b]0;owned\u0007\u001b[2Jtext',
        function: 'wild',
      },
    ]
    const gateway = await startFakeGateway({ 'GET /v1/functions/wild/logs': { body: wild } })
    const read = (isTTY: boolean) => runFn(['logs', 'wild', '--url', gateway.url], { isTTY, env: { NO_COLOR: '1' } })
    expect((await read(true)).stdout).toBe('\\u001b]0;owned\\u0007\\u001b[2Jtext\n')
    expect((await read(false)).stdout).toBe('\u001b]0;owned\u0007\u001b[2Jtext\n')
    await gateway.close()
  })

  test('logs prints lines, with -t their time; of a function, followed, or of an invocation', async () => {
    expect((await fn('logs', 'hello', '-n', '5')).stdout).toBe('out\nerr\nREPORT x\n')
    expect(last().target).toBe('/v1/functions/hello/logs?tail=5')
    expect((await fn('logs', 'hello', '-f', '-t')).stdout).toContain('2026-01-02T03:04:05.678Z err\n')
    expect(last().target).toBe('/v1/functions/hello/logs?follow=true')
    expect((await fn('logs', '--invocation', ID)).stdout).toBe('out\nerr\nREPORT x\n')
    expect((await fn('logs', 'other', '--invocation', ID)).stdout).toBe('')
  })
})

describe('sandboxes', () => {
  test('ps lists state, pid, memory and calls', async () => {
    expect((await fn('ps')).stdout).toMatch(/^c3 +default +hello@2 +busy +4242 +16 MiB +90 ms +7 \(1 running\)/m)
  })

  test('an action takes the start of an id when only one sandbox has it', async () => {
    expect(await fn('freeze', 'aab1')).toMatchObject({ status: 0, stdout: 'frozen aab1 of hello\n' })
    expect(await fn('freeze', 'aab')).toMatchObject({ status: 1, stderr: expect.stringContaining('any of aab1, aab2') })
    expect(await fn('freeze', 'other')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('a sandbox of other is aab2'),
    })
    expect(await fn('freeze', 'c')).toMatchObject({ status: 1, stderr: expect.stringContaining('c3 is busy') })
  })
})

describe('the platform', () => {
  test('doctor says why the platform is not ready, each limit, and what would turn on those that are off', async () => {
    const { stdout } = await fn('doctor')
    expect(stdout).toMatch(/^ready +no: Redis is away \(its disk is full\)$/m)
    expect(stdout).toMatch(/^memory +yes +memory\.limit_in_bytes$/m)
    expect(stdout).toMatch(/^blkioWeight +no +no bfq$/m)
    expect(stdout).toContain('→ blkioWeight: modprobe bfq')
  })
})

describe('tokens and schedules', () => {
  test('a token’s name is an argument or a flag', async () => {
    for (const args of [['ci'], ['--name', 'ci'], ['ci', '--name', 'ci']])
      expect(await fn('token', 'create', ...args)).toMatchObject({ status: 0, stdout: 'fn_made\n' })
    expect(await fn('token', 'create', 'ci', '--name', 'other')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('one token has one name, got ci and other'),
    })
  })

  test('schedules of a function are listed unless something else is said', async () => {
    expect(await fn('schedule', 'hello')).toMatchObject({ status: 0, stdout: 'no schedules of hello\n' })
  })
})

test.each([
  [['ls']],
  [['get', 'hello']],
  [['get', 'invocation', ID]],
  [['versions', 'hello']],
  [['alias', 'hello']],
  [['alias', 'hello', 'prod', '3']],
  [['rollback', 'hello']],
  [['jobs']],
  [['logs', 'hello']],
  [['ps']],
  [['freeze', 'aab1']],
  [['doctor']],
])('%j --json prints the body of the answer, and nothing else', async (args) => {
  const { status, stdout, stderr } = await fn(...args, '--json')
  expect([status, stderr]).toEqual([0, ''])
  expect(JSON.parse(stdout)).toBeTruthy()
})

test('the token is the state directory’s unless FN_TOKEN is set, and the namespace goes along', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fn-token-'))
  writeFileSync(join(folder, 'token'), 'fn_from_file\n')
  await runFn(['ls', '--url', gateway.url, '--state-dir', folder, '--namespace', 'team-a'])
  expect(last().headers).toMatchObject({ authorization: 'Bearer fn_from_file', 'fn-namespace': 'team-a' })
  await runFn(['ls', '--url', gateway.url, '--state-dir', folder], { env: { FN_TOKEN: 'fn_set' } })
  expect(last().headers).toMatchObject({ authorization: 'Bearer fn_set' })
  rmSync(folder, { recursive: true })
})
