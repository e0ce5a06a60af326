// What callers may try from outside, through the front door: names, uploads, tokens, headers, bodies, callbacks.
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { gzipSync } from 'node:zlib'
import { packTar, type TarEntry } from 'modern-tar'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { spawn } from '../../runtime/host/spawn.ts'
import { ROOT } from '../support/platform.ts'
import { text } from '../support/streams.ts'
import { until } from '../support/until.ts'
import { type Attacked, attackPlatform } from './attacker.ts'
import { CALLER_ATTACKS } from './caller-attacks.ts'

let attacked: Attacked
beforeAll(async () => {
  attacked = await attackPlatform()
  await attacked.call('/state')
})
afterAll(() => attacked.close())

/** A name nobody else uses. */
const LEFT = `thaw-left-${process.pid}`
// Without `.` and `..`, which fetch itself takes out: dot-segments sends those.
const OUTWARD = [
  `../${LEFT}`,
  '../../etc/passwd',
  '/etc/passwd',
  `a/../../${LEFT}`,
  `a\\..\\${LEFT}`,
  'a\0b',
  'A b',
  'x'.repeat(300),
  '%2e%2e',
  '-x',
  '__proto__',
]

async function statusOf(path: string, init: RequestInit = {}): Promise<number> {
  const response = await attacked.platform.request(path, init)
  await response.arrayBuffer()
  return response.status
}

/** Names below the state directory, and of what lies beside it. */
function allNames(): string[] {
  const { stateDir } = attacked.platform
  return [...readdirSync(stateDir, { recursive: true }).map(String), ...readdirSync(tmpdir())]
}

function expectNothingLeft(): void {
  expect(allNames().filter((name) => name.includes(LEFT) || name.startsWith('tmp/upload-'))).toEqual([])
}

function expectRefused(status: number, what: string): void {
  expect(status >= 400 && status < 500, `${what}: ${status}`).toBe(true)
}

/** The answer to raw bytes on a connection of their own: all of it, `closed` when there was none. */
async function raw(head: string, body = ''): Promise<string> {
  const bytes = `${head}\r\nHost: 127.0.0.1:${attacked.platform.port}\r\nConnection: close\r\n\r\n${body}`
  const answer = await attacked.platform.rawRequest(Buffer.from(bytes, 'latin1')).catch(() => Buffer.alloc(0))
  return answer.length === 0 ? 'closed' : answer.toString('latin1')
}

const manifest = JSON.stringify({ name: 'uploaded', entry: 'uploaded.ts', form: 'web' })
const source = 'exports.default = () => new Response("uploaded")'
const file = (name: string, body: string): TarEntry => ({
  header: { name, size: Buffer.byteLength(body), type: 'file' },
  body,
})
const GOOD = [file('fn.json', manifest), file('index.cjs', source)]

function upload(bytes: Uint8Array | Buffer, more: Record<string, string> = {}): Promise<number> {
  const headers = { 'content-type': 'application/x-tar', ...more }
  return statusOf('/v1/functions/uploaded', { method: 'PUT', headers, body: bytes as BodyInit })
}

const MEMBERS: readonly TarEntry[] = [
  file(`../../${LEFT}`, 'x'),
  file(`/tmp/${LEFT}`, 'x'),
  file(`node_modules/../../../${LEFT}`, 'x'),
  file('fn.json', manifest),
  file('extra.txt', 'x'),
  { header: { name: 'node_modules/a', size: 0, type: 'symlink', linkname: '../../../../etc' } },
  { header: { name: 'node_modules/a', size: 0, type: 'symlink', linkname: '/etc/passwd' } },
  { header: { name: 'node_modules/a', size: 0, type: 'link', linkname: '/etc/passwd' } },
  { header: { name: 'node_modules/a', size: 0, type: 'character-device' } },
  { header: { name: 'node_modules/a', size: 0, type: 'block-device' } },
  { header: { name: 'node_modules/a', size: 0, type: 'fifo' } },
]

/** A member's header with the bytes of its size replaced, the sum made right again. */
function withSize(tar: Uint8Array, size: Buffer): Buffer {
  const bytes = Buffer.from(tar)
  size.copy(bytes, 124, 0, 12)
  bytes.write('        ', 148, 'latin1')
  const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0)
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return bytes
}

/** A listener of the host that nothing may reach. */
async function listener(): Promise<{ server: Server; port: number; visits: () => number }> {
  let visits = 0
  const server = createServer((socket) => {
    visits++
    socket.destroy()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as { port: number }).port, visits: () => visits }
}

const proofs: Record<(typeof CALLER_ATTACKS)[number]['id'], () => Promise<void>> = {
  names: async () => {
    const tar = await packTar([...GOOD])
    for (const name of OUTWARD) {
      const part = encodeURIComponent(name)
      expectRefused(
        await statusOf(`/v1/functions/${part}`, { method: 'PUT', body: tar as BodyInit }),
        `function ${name}`,
      )
      expectRefused(await statusOf(`/fn/${part}`), `call of ${name}`)
      expectRefused(await statusOf(`/fn/attacker@${part}`), `version ${name}`)
      const alias = { method: 'PUT', body: '{"weights":{"1":100}}' }
      expectRefused(await statusOf(`/v1/functions/attacker/aliases/${part}`, alias), `alias ${name}`)
      const schedule = { method: 'PUT', body: '{"cron":"* * * * *"}' }
      expectRefused(await statusOf(`/v1/functions/attacker/schedules/${part}`, schedule), `schedule ${name}`)
      for (const kind of ['volumes', 'secrets', 'tokens', 'networks'])
        expectRefused(await statusOf(`/v1/${kind}/${part}`, { method: 'PUT', body: '{}' }), `${kind} ${name}`)
      for (const path of [`invocations/${part}`, `invocations/${part}/result`, `invocations/${part}/logs`])
        expectRefused(await statusOf(`/v1/${path}`), path)
      expectRefused(await statusOf(`/v1/sandboxes/${part}/kill`, { method: 'POST' }), `sandbox ${name}`)
      if (!/[\0\\]/.test(name))
        expectRefused(
          await statusOf('/v1/functions/attacker', { headers: { 'fn-namespace': name } }),
          `namespace ${name}`,
        )
    }
    expectNothingLeft()
  },

  'dot-segments': async () => {
    for (const way of ['..', '%2e%2e', '%2E.', '.%2e', '%252e%252e', '..\\..', '..%2f..%5c', '.;/..', '%c0%ae%c0%ae']) {
      const deleted = await raw(
        `DELETE /fn/attacker/${way}/${way}/v1/functions/neighbour HTTP/1.1\r\nAuthorization: Bearer ${attacked.platform.token}`,
      )
      expect(deleted, way).toMatch(/^HTTP\/1\.1 (400|200)/)
      expect(await statusOf('/fn/neighbour'), way).toBe(200)
    }
  },

  'tar-members': async () => {
    expect(await upload(await packTar([...GOOD]))).toBe(201)
    for (const member of MEMBERS) {
      const { name, type, linkname } = member.header
      const status = await upload(await packTar([...GOOD, member]))
      // A hard link may be told apart only when the layer is unpacked: it must not be there in any case.
      expectRefused(status, `${type} ${name} ${linkname ?? ''}`)
    }
    expectNothingLeft()
  },

  'tar-sizes': async () => {
    const tar = await packTar([...GOOD])
    const huge = Buffer.from([0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    const negative = Buffer.alloc(12, 0xff)
    for (const bytes of [
      withSize(tar, huge),
      withSize(tar, negative),
      withSize(tar, Buffer.from('77777777777\0')),
      withSize(tar, Buffer.from('not a size.\0')),
    ])
      expectRefused(await upload(bytes), 'a size')
    for (const bytes of [tar.subarray(0, 700), gzipSync(tar), Buffer.alloc(0), Buffer.alloc(4096, 0xaa)])
      expectRefused(await upload(bytes), 'no tar')
    expectNothingLeft()
  },

  tokens: async () => {
    const { token } = attacked.platform
    const changed = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`
    const guesses = [
      changed,
      token.slice(0, -1),
      `${token}A`,
      token.toUpperCase(),
      token.slice(3),
      '',
      'fn_',
      'null',
      'x'.repeat(4000),
      `${token},${token}`,
    ]
    for (const guess of guesses)
      expect(
        await statusOf('/v1/functions', { headers: { authorization: `Bearer ${guess}` } }),
        guess.slice(0, 60),
      ).toBe(401)
    for (const headers of [
      { authorization: `Basic ${token}` },
      { authorization: '', cookie: `token=${token}` },
      { authorization: token },
    ])
      expect(await statusOf('/v1/functions', { headers }), JSON.stringify(headers).slice(0, 20)).toBe(401)
    const many = await Promise.all(
      Array.from({ length: 200 }, (_, nth) =>
        statusOf('/v1/functions', { headers: { authorization: `Bearer fn_guess${nth}` } }),
      ),
    )
    expect(new Set(many.filter((status) => status !== 429))).toEqual(new Set([401]))
    expect(await statusOf('/v1/functions')).toBe(200)
  },

  namespaces: async () => {
    const { platform } = attacked
    const red = { 'fn-namespace': 'red' }
    const secret = { method: 'PUT', headers: red, body: 'of red alone' }
    expect((await platform.request('/v1/secrets/API_KEY', secret)).ok).toBe(true)
    expect(
      (
        await platform.fn(
          '--namespace',
          'red',
          'deploy',
          join(ROOT, 'functions', 'hello.ts'),
          '--name',
          'mine',
          '--no-public',
        )
      ).code,
    ).toBe(0)
    const call = await platform.request('/fn/mine', { headers: { ...red, authorization: `Bearer ${platform.token}` } })
    expect(call.status).toBe(200)
    const id = call.headers.get('fn-invocation-id')
    const [sandbox] = (
      await platform.json<{ id: string; function: string }[]>('/v1/sandboxes', { headers: red })
    ).filter((row) => row.function === 'mine')
    const blue = await platform.fn('--namespace', 'blue', 'token', 'create', '--name', 'blue', '--scope', 'admin')
    const as = { authorization: `Bearer ${blue.stdout.trim()}` }
    const paths = [
      '/v1/functions/mine',
      '/v1/functions/mine/logs',
      `/v1/invocations/${id}`,
      `/v1/invocations/${id}/logs`,
      `/v1/invocations/${id}/result`,
      '/v1/secrets/API_KEY',
      '/fn/mine',
    ]
    for (const path of paths) {
      expect(await statusOf(path, { headers: as }), path).toBe(404)
      expect(await statusOf(path, { headers: { ...as, ...red } }), `${path} as red`).toBe(403)
      expect(await statusOf(path.replace('mine', 'none'), { headers: { ...as, ...red } }), `${path}, not there`).toBe(
        403,
      )
    }
    for (const verb of ['kill', 'freeze', 'restart'])
      expectRefused(await statusOf(`/v1/sandboxes/${sandbox!.id}/${verb}`, { method: 'POST', headers: as }), verb)
    expectRefused(await statusOf('/v1/functions/mine', { method: 'DELETE', headers: as }), 'delete')
    const listed = await platform.json<object[]>('/v1/functions', { headers: as })
    expect(listed).toEqual([])
    expect(await statusOf(`/v1/invocations/${id}`, { headers: red })).toBe(200)
  },

  'token-theft': async () => {
    const { token } = attacked.platform
    const headers = {
      authorization: `Bearer ${token}`,
      'fn-timeout': '5s',
      'fn-limit-memory': '64m',
      'x-kept': 'yes',
      'x-forwarded-for': '6.6.6.6',
    }
    const seen = await (await attacked.platform.request('/fn/attacker/headers', { headers })).text()
    expect(seen).toContain('x-kept')
    expect(seen).not.toContain(token)
    expect(seen).not.toMatch(/fn-timeout|fn-limit/)
    const other = await attacked.platform.request('/fn/attacker/headers', {
      headers: { authorization: 'Bearer of-the-function' },
    })
    expect(await other.text()).toContain('of-the-function')
  },

  'request-headers': async () => {
    const before = ((await (await attacked.call('/state')).json()) as { calls: number }).calls
    const heads = [
      'GET /fn/attacker/state HTTP/1.1\r\nX-A: b\rX-B: c',
      'GET /fn/attacker/state HTTP/1.1\r\nX-A: b\0c',
      'GET /fn/attacker/state HTTP/1.1\r\nX-A : b',
      'GET /fn/attacker/state HTTP/1.1\r\n X-A: b',
      'POST /fn/attacker/state HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5',
      'POST /fn/attacker/state HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked',
      'POST /fn/attacker/state HTTP/1.1\r\nContent-Length: -4',
      'POST /fn/attacker/state HTTP/1.1\r\nContent-Length: 0x4',
      'POST /fn/attacker/state HTTP/1.1\r\nTransfer-Encoding: chunked, identity',
      'GET /fn/attacker/sta\nte HTTP/1.1',
    ]
    for (const head of heads)
      expect(await raw(head, 'body'), JSON.stringify(head)).toMatch(/^(HTTP\/1\.1 (400|501)|closed)/)
    const after = ((await (await attacked.call('/state')).json()) as { calls: number }).calls
    expect(after).toBe(before + 1)
  },

  'zip-bomb': async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 ** 2))
    const headers = { 'content-encoding': 'gzip', 'content-type': 'application/json' }
    const seen = await attacked.platform.request('/fn/attacker/length', { method: 'POST', headers, body: bomb })
    expect(await seen.text()).toBe(`gzip ${bomb.length}`)
    expectRefused(await upload(bomb, { 'content-encoding': 'gzip' }), 'upload')
  },

  callbacks: async () => {
    const { server, port, visits } = await listener()
    const hosts = [
      '127.0.0.1',
      'localhost',
      '0.0.0.0',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '2130706433',
      '0x7f.1',
      '127.1',
      'x.localhost',
    ]
    const { platform } = attacked
    const headers = (host: string) => ({
      prefer: 'respond-async',
      authorization: `Bearer ${platform.token}`,
      'fn-callback': `http://${host}:${port}/`,
    })
    for (const host of hosts) {
      const response = await platform.request('/fn/neighbour', { headers: headers(host) })
      const location = response.headers.get('location')
      await response.arrayBuffer()
      if (response.status !== 202) expectRefused(response.status, host)
      else
        await until(`the callback to ${host} is refused`, async () => {
          const callbacks = await (await platform.request(`${location}/callbacks`)).text()
          return /not a public address|refused|failed|cannot|ENOTFOUND|EAI_AGAIN/i.test(callbacks) || callbacks
        })
    }
    expect(visits()).toBe(0)
    server.close()
  },

  controls: async () => {
    expect(await (await attacked.call('/wire/controls')).text()).toBe('printed')
    const logs = async () => (await attacked.platform.request('/v1/functions/attacker/logs')).text()
    await until(
      'the lines are there',
      async () => (await logs()).includes('hidden') && (await logs()).includes('owned'),
    )
    expect(await logs()).not.toContain('\u001b')
    const folder = mkdtempSync(join(tmpdir(), 'thaw-terminal-'))
    try {
      const typescript = join(folder, 'typescript')
      const env = {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: folder,
        TERM: 'xterm',
        FN_URL: attacked.platform.url,
        FN_TOKEN: attacked.platform.token,
      }
      // A terminal of its own, whose screen is the file.
      const screen = spawn('/usr/bin/script', ['-qec', `${join(ROOT, 'bin', 'fn')} logs attacker`, typescript], {
        env,
        cwd: ROOT,
      })
      const [said] = await Promise.all([text(screen.stdout!), screen.exited])
      const shown = readFileSync(typescript, 'utf8') + said
      expect(shown).toContain('\\u001b]0;owned\\u0007')
      expect(shown).toContain('\\u001b[8mhidden')
      // Colours of the command's own aside.
      expect(stripVTControlCharacters(shown)).not.toMatch(/[^\P{C}\r\n]/u)
      for (const wild of ['\u001b]', '\u001b[2J', '\u001b[8m']) expect(shown).not.toContain(wild)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
}

for (const attack of CALLER_ATTACKS) {
  test(`${attack.id}: an attempt to ${attack.tries}`, async () => {
    await proofs[attack.id]()
    attacked.watch.check()
  })
}
