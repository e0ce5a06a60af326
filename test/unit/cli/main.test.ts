// The command line itself: help, usage, exit statuses, and what a user sees when something is wrong.
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { VERBS } from '../../../cli/verbs.ts'
import { type FakeGateway, problem, runFn, startFakeGateway } from '../../support/run-fn.ts'

const FIXTURES = fileURLToPath(new URL('../../fixtures', import.meta.url))
let gateway: FakeGateway
beforeAll(async () => {
  gateway = await startFakeGateway({
    'GET /v1/functions': { body: [] },
    'GET /v1/functions/helo': problem(
      404,
      'FUNCTION_NOT_FOUND',
      'gateway',
      'unknown function helo; did you mean hello?',
    ),
    'GET /v1/functions/secret': problem(401, 'UNAUTHORIZED', 'gateway', 'a token is needed'),
    'GET /v1/functions/full': {
      ...problem(503, 'REGISTRY_UNAVAILABLE', 'queue', 'Redis is away'),
      headers: { 'content-type': 'application/problem+json', 'retry-after': '7' },
    },
    'GET /v1/functions/another/versions': {
      headers: { 'content-type': 'text/html; charset=utf-8' },
      body: '<h1>It works</h1>',
    },
    'GET /v1/functions/gone': problem(404, 'FUNCTION_NOT_FOUND', 'gateway', 'unknown function gone'),
    'GET /v1/functions/create/schedules': problem(404, 'FUNCTION_NOT_FOUND', 'gateway', 'unknown function create'),
    'GET /below/v1/functions': problem(404, 'NOT_FOUND', 'gateway', 'nothing is at /below/v1/functions'),
    'GET /v1/functions/page': { status: 502, headers: { 'content-type': 'text/html' }, body: '<h1>Bad gateway</h1>' },
  })
})
afterAll(() => gateway.close())

describe('help', () => {
  test('lists every verb in its group with a line on it, and the exit statuses', async () => {
    const { status, stdout, stderr } = await runFn(['--help'])
    expect([status, stderr]).toEqual([0, ''])
    for (const { name, summary } of VERBS)
      expect(stdout).toMatch(new RegExp(`^ +${name} +${summary.slice(0, 20)}`, 'm'))
    expect(stdout).toMatch(/0 done, 1 failed, 2 wrong usage, 3 the function failed/)
  })

  test.each(VERBS.map((verb) => verb.name))('of %s has examples that begin with it', async (verb) => {
    const { status, stdout } = await runFn([verb, '--help'])
    expect(status).toBe(0)
    expect(stdout).toMatch(new RegExp(`Examples:\\n  \\$ .*fn ${verb}\\b`))
    expect((await runFn(['help', verb])).stdout).toBe(stdout)
  })

  test('names every limit where limits can be given, and only those of a call for a call', async () => {
    const deploy = (await runFn(['deploy', '--help'])).stdout
    const invoke = (await runFn(['invoke', '--help'])).stdout
    for (const flag of ['--memory <size>', '--cpu-shares <weight>', '--device-write-bps <rate>', '--pids <value>']) {
      expect(deploy).toContain(flag)
      expect(invoke).toContain(flag)
    }
    expect(deploy).toContain('--scratch <size>')
    expect(invoke).not.toContain('--scratch')
  })

  test('--version prints the version alone', async () => {
    expect(await runFn(['--version'])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) })
  })
})

describe('wrong usage ends with 2 and a way out', () => {
  test.each([
    [[], /Usage: fn VERB/],
    [['delpoy'], /unknown command "delpoy"\n→ did you mean: fn deploy\?/],
    [['token', 'create', '--scope', 'nope'], /expected invoke, deploy, admin, got "nope"/],
    [['deploy', 'x.ts', '--isolation', 'nope'], /expected function or call, got "nope"/],
    [['deploy', 'x.ts', '--leftovers', 'nope'], /expected freeze or kill, got "nope"/],
    [['schedule', 'hello', 'set', 'a', '@daily', '--missed', 'nope'], /expected run-once or skip, got "nope"/],
    [['deploy'], /missing required argument 'path'[\s\S]*→ fn deploy --help/],
    [['ls', '--jsn'], /Did you mean --json\?/],
    [['invoke', 'hello', '--memory', '1k'], /memory: expected a size from 16m/],
    [['invoke', 'hello', '--cpus', 'many'], /cpus: expected a number/],
    [['invoke', 'hello', '--timeout', '5'], /expected a duration such as 250ms/],
    [['invoke', 'hello', '--header', 'nonsense'], /expected "Name: value"/],
    [['invoke', 'hello', '--data', '{"a":'], /--data is not valid JSON/],
    [['deploy', 'x.ts', '--concurrency', '0'], /whole number from 1/],
    [['alias', 'hello', 'prod'], /which version/],
    [['alias', 'hello', 'prod', '3=90', '4=20'], /must add up to 100, not 110/],
    [['alias', 'hello', 'prod', '3=50', '3=50'], /version 3 is named twice/],
    [['alias', 'hello', 'prod', 'three'], /expected VERSION=PERCENT/],
    [['logs'], /fn logs NAME/],
    [['get', 'hello', 'there'], /fn get invocation ID/],
    [['get', 'invocation'], /which invocation\? fn get invocation ID[\s\S]*→ their ids: fn jobs/],
    [['jobs', 'cancel'], /which invocation\? fn jobs cancel ID/],
    [['jobs', '--state', 'lost'], /expected one of queued/],
    [['ls', '--url', 'nowhere'], /FN_URL: expected a URL/],
  ])('%j', async (args, words) => {
    const { status, stdout, stderr } = await runFn(args, { env: { FN_URL: gateway.url } })
    expect(stderr).toMatch(words)
    expect([status, stdout]).toEqual([2, ''])
  })

  test('a variable that is to come from here but is not set', async () => {
    const { status, stderr } = await runFn(['deploy', 'handlers/short-form.ts', '--env', 'NOT_HERE'], { cwd: FIXTURES })
    expect(status).toBe(2)
    expect(stderr).toContain('--env NOT_HERE: not set here')
  })
})

describe('what fails ends with 1 and says why', () => {
  const cases: [string[], RegExp][] = [
    [['get', 'helo'], /^fn: unknown function helo; did you mean hello\? \(FUNCTION_NOT_FOUND\)\n$/],
    [
      ['get', 'secret'],
      /a token is needed \(UNAUTHORIZED\)\n→ there is no token file \/nonexistent\/token; set FN_TOKEN, or FN_STATE_DIR/,
    ],
    [['get', 'full'], /Redis is away.*\n→ try again in 7 s/],
    [['get', 'page'], /<h1>Bad gateway<\/h1> \(HTTP_502\)\n→ is it a Thaw platform that answers at http/],
    [
      ['versions', 'another'],
      /^fn: what answers at http.* is no Thaw platform \(HTTP 200, text\/html\)\n→ say where it is/,
    ],
    [
      ['get', 'gone', '--namespace', 'team'],
      /unknown function gone .*\n→ list those there are: fn ls --namespace team\n/,
    ],
    [['deploy', 'broken/syntax.ts'], /broken\/syntax\.ts:4:3: Unexpected "return"/],
    [['deploy', 'nothing.ts'], /nothing\.ts: no such file or folder/],
  ]
  test.each(cases)('%j', async (args, words) => {
    const { status, stdout, stderr } = await runFn(args, { env: { FN_URL: gateway.url }, cwd: FIXTURES })
    expect(stderr).toMatch(words)
    expect([status, stdout]).toEqual([1, ''])
  })

  test('an address that is almost right gets a suggestion', async () => {
    const told = async (url: string) => (await runFn(['ls'], { env: { FN_URL: url } })).stderr
    expect(await told('127.0.0.1:8080')).toContain('did you mean http://127.0.0.1:8080?')
    expect(await told('localhost:8080')).toContain('did you mean http://localhost:8080?')
    expect(await told(`${gateway.url}/below`)).toMatch(
      /→ http.*\/below has the path \/below; the platform itself is at http/,
    )
  })

  test('a token is taken with the line end that a file or a secret store adds', async () => {
    const { status, stderr } = await runFn(['ls'], { env: { FN_URL: gateway.url, FN_TOKEN: 'fn_a_b\n' } })
    expect([status, stderr]).toEqual([0, ''])
  })

  test('an unknown option without a verb is told where the options are', async () => {
    const { status, stderr } = await runFn(['-v'])
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/unknown option '-v'\n→ .*fn --help; the version: .*fn --version\n$/),
    ])
  })

  test('an action in place of the function gets the right order', async () => {
    const { status, stderr } = await runFn(['schedule', 'create'], { env: { FN_URL: gateway.url } })
    expect([status, stderr]).toEqual([2, expect.stringContaining('fn schedule FUNCTION set NAME CRON')])
    const other = await runFn(['schedule', 'x', 'create'], { env: { FN_URL: gateway.url } })
    expect(other.stderr).toContain('the function comes first')
  })

  test('with --json the problem is on stdout as it came', async () => {
    const { status, stdout } = await runFn(['get', 'helo', '--json'], { env: { FN_URL: gateway.url } })
    expect(status).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({ code: 'FUNCTION_NOT_FOUND', status: 404 })
  })

  test('no platform: where it was looked for, and how to start one', async () => {
    const gone = await startFakeGateway({})
    await gone.close()
    for (const verb of ['ls', 'doctor']) {
      const { status, stderr } = await runFn([verb], { env: { FN_URL: gone.url } })
      expect(status).toBe(1)
      expect(stderr).toMatch(/no platform at http:\/\/127\.0\.0\.1:\d+[\s\S]*start one with: fn up/)
    }
  })
})

describe('colour', () => {
  test('is for terminals, unless NO_COLOR says otherwise', async () => {
    const env = { FN_URL: gateway.url }
    const sequence = '\u001b['
    expect((await runFn(['get', 'helo'], { env })).stderr).not.toContain(sequence)
    expect((await runFn(['get', 'helo'], { env, isTTY: true })).stderr).toContain(sequence)
    expect((await runFn(['get', 'helo'], { env: { ...env, NO_COLOR: '1' }, isTTY: true })).stderr).not.toContain(
      sequence,
    )
    expect((await runFn(['get', 'helo'], { env: { ...env, FORCE_COLOR: '1' } })).stderr).toContain(sequence)
  })
})

test('options of every verb are taken before and after it', async () => {
  const before = await runFn(['--url', gateway.url, '--json', 'ls'])
  const after = await runFn(['ls', '--json', '--url', gateway.url])
  expect(before).toEqual({ status: 0, stdout: '[]\n', stderr: '' })
  expect(after).toEqual(before)
})
