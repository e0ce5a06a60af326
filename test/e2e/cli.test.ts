// `fn` as a user meets it: help, exit codes, JSON, mistakes answered with the way out.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../../runtime/host/spawn.ts'
import { type Platform, ROOT, startPlatform } from '../support/platform.ts'

let platform: Platform
const PROBE = join(ROOT, 'test', 'fixtures', 'functions', 'probe.ts')
beforeAll(async () => {
  platform = await startPlatform()
  await platform.deploy(join(ROOT, 'functions', 'hello.ts'))
  await platform.deploy(PROBE)
})
afterAll(() => platform.stop())

const VERBS = [
  'up',
  'deploy',
  'invoke',
  'ls',
  'get',
  'rm',
  'versions',
  'alias',
  'rollback',
  'logs',
  'ps',
  'freeze',
  'thaw',
  'restart',
  'kill',
  'doctor',
  'config',
]

describe('help', () => {
  test('names every verb, and each verb has examples', async () => {
    const { code, stdout } = await platform.fn('--help')
    expect(code).toBe(0)
    for (const verb of VERBS) {
      expect(stdout).toMatch(new RegExp(`^\\s+${verb}\\b`, 'm'))
      const help = await platform.fn(verb, '--help')
      expect(help.code, verb).toBe(0)
      expect(help.stdout, verb).toMatch(/examples?:/i)
      expect(help.stdout, verb).toContain(`fn ${verb}`)
    }
  })
})

test('what cannot be written is a failure with a reason, a reader that has seen enough is none', async () => {
  const shell = (line: string) => run('sh', ['-c', line.replace('fn ', `${join(ROOT, 'bin', 'fn')} `)])
  for (const verb of ['config', '--help']) {
    const full = await shell(`fn ${verb} > /dev/full`)
    expect([full.code, full.stderr], verb).toEqual([
      1,
      expect.stringMatching(/^fn: cannot write to standard output: ENOSPC: .*\n$/),
    ])
  }
  expect(await shell('fn config | head -c 1')).toMatchObject({ code: 0, stdout: 'N', stderr: '' })
})

describe('data', () => {
  test.each([
    [['ls', '--json']],
    [['get', 'hello', '--json']],
    [['versions', 'hello', '--json']],
    [['ps', '--json']],
    [['config', '--json']],
    [['doctor', '--json']],
    [['deploy', PROBE, '--json']],
    [['logs', 'probe', '--json']],
  ])('%o prints JSON alone on stdout', async (args) => {
    const { code, stdout, stderr } = await platform.fn(...args)
    expect(code, stderr).toBe(0)
    for (const line of args[0] === 'logs' ? stdout.trim().split('\n').filter(Boolean) : [stdout]) JSON.parse(line)
  })

  test('ls, get, versions and ps print what a person wants to see', async () => {
    expect((await platform.fn('ls')).stdout).toMatch(/hello/)
    expect((await platform.fn('get', 'hello')).stdout).toContain('/fn/hello')
    expect((await platform.fn('versions', 'hello')).stdout).toMatch(/\b1\b/)
    expect((await platform.fn('ps')).stdout).toMatch(/hello|probe/)
  })
})

describe('invoke and logs', () => {
  test('the body comes on stdout, data goes in from a flag or stdin', async () => {
    const meta = await platform.fn('invoke', 'probe', '--path', '/meta', '--data', '{"a":1}')
    expect(JSON.parse(meta.stdout)).toMatchObject({ method: 'POST', body: '{"a":1}' })
    const piped = await platform.fnWithInput('from stdin', 'invoke', 'probe', '--path', '/meta', '--data', '-')
    expect(JSON.parse(piped.stdout)).toMatchObject({ body: 'from stdin' })
  })

  test('exit code 3 when the function failed, 1 when the platform said no, 2 for wrong usage', async () => {
    expect((await platform.fn('invoke', 'probe', '--path', '/throw/x')).code).toBe(3)
    expect((await platform.fn('invoke', 'nobody')).code).toBe(1)
    expect((await platform.fn('invoke')).code).toBe(2)
    expect((await platform.fn('invoke', 'probe', '--memory', 'lots')).code).toBe(2)
    expect((await platform.fn('no-such-verb')).code).toBe(2)
  })

  test('output of a call is in its logs with a REPORT line, positions in the TypeScript', async () => {
    const response = await platform.request('/fn/probe/log/marker-1')
    await response.text()
    const id = response.headers.get('fn-invocation-id') ?? ''
    const { stdout } = await platform.fn('logs', 'probe', '--invocation', id)
    expect(stdout).toContain('out marker-1')
    expect(stdout).toContain('err marker-1')
    expect(stdout).toMatch(/REPORT/)
    await (await platform.request('/fn/probe/throw/logged')).text()
    expect((await platform.fn('logs', 'probe')).stdout).toContain('marker-1')
  })

  test('an asynchronous invoke says how to get the result', async () => {
    const { code, stdout, stderr } = await platform.fn('invoke', 'hello', '--async')
    expect(code, stderr).toBe(0)
    const id = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(stdout + stderr)?.[0] ?? ''
    expect((await platform.fn('get', 'invocation', id)).stdout).toContain(id)
  })
})

describe('mistakes', () => {
  test.each([
    [['invoke', 'helo'], /unknown function helo.*did you mean hello/is],
    [['get', 'helo'], /did you mean hello/i],
    [['delpoy', 'x'], /deploy/],
    [['deploy', './nothing-here.ts'], /nothing-here\.ts/],
    [['deploy', 'functions'], /index\.ts/],
    [['versions', 'hello', '--url', 'http://127.0.0.1:9'], /fn up/],
    [['alias', 'hello', 'prod', '7=100'], /7/],
    [['rollback', 'hello'], /hello/],
  ])('%o is answered with the way out', async (args, words) => {
    const { code, stderr } = await platform.fn(...args)
    expect(code).toBeGreaterThan(0)
    expect(stderr).toMatch(words)
    expect(stderr).not.toMatch(/\n\s+at /)
  })
})
