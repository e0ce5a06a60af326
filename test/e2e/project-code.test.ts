// Code as people have it, deployed and called: files read at run time, worker threads, awaits while loading, WebAssembly, what
// Node tells of its machine, variables that Node reads when it starts, connections that ended in a frozen sandbox.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { SandboxInfo } from '../../worker/api.ts'
import { type Platform, startPlatform } from '../support/platform.ts'
import { until } from '../support/until.ts'

let platform: Platform
let work: string
beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'thaw-code-'))
  platform = await startPlatform({ args: ['--host-network'] })
})
afterAll(async () => {
  await platform?.stop()
  rmSync(work, { recursive: true, force: true })
})

/** Writes a folder of these files and deploys it under its name. */
async function deployed(name: string, files: Readonly<Record<string, string | Buffer>>, ...args: string[]) {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(work, name, file)), { recursive: true })
    writeFileSync(join(work, name, file), text)
  }
  await platform.deploy(join(work, name), ...args)
  return async (path = '') => {
    const response = await platform.request(`/fn/${name}${path}`)
    return response.headers.get('content-type')?.includes('json') ? response.json() : response.text()
  }
}

describe('files that ship with the code', () => {
  test('what the code names and what files lists is there, read-only, and relative paths start at it', async () => {
    const call = await deployed('reader', {
      'fn.json': '{"files": ["public/**"], "entry": "src/index.ts"}',
      'package.json': '{"name": "reader", "version": "1.2.3", "type": "module"}',
      'templates/a.hbs': 'Hello {{name}}',
      'public/deep/b.txt': 'deep',
      'src/data.txt': 'data',
      'src/index.ts': `import { readFileSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
const require = createRequire(import.meta.url)
export default async () => Response.json([
  readFileSync(join(import.meta.dirname, '../templates/a.hbs'), 'utf8'),
  await readFile(new URL('./data.txt', import.meta.url), 'utf8'),
  require('../package.json').version,
  readFileSync('public/deep/b.txt', 'utf8'),
  (() => { try { writeFileSync('public/c.txt', ''); return 'written' } catch (error: any) { return error.code } })(),
  process.cwd(),
])\n`,
    })
    expect(await call()).toEqual(['Hello {{name}}', 'data', '1.2.3', 'deep', 'EROFS', '/code'])
  })

  test('a worker thread runs its own module, with packages and a package.json that says module', async () => {
    for (const type of ['commonjs', 'module']) {
      const call = await deployed(`threads-${type}`, {
        'package.json': JSON.stringify({ type }),
        'node_modules/greet/package.json': '{"name":"greet","version":"1.0.0"}',
        'node_modules/greet/index.js':
          "exports.greet = () => 'hello from ' + require('node:path').basename('/a/worker')",
        'worker.ts':
          "import { parentPort } from 'node:worker_threads'\nimport { greet } from 'greet'\nparentPort!.postMessage(greet())\n",
        'index.ts': `import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
readFileSync(new URL('./package.json', import.meta.url))
export default () => new Promise<Response>((resolve) => {
  const worker = new Worker(new URL('./worker.ts', import.meta.url))
  worker.on('message', (text) => resolve(new Response(String(text))))
  worker.on('error', (error) => resolve(new Response(String(error), { status: 500 })))
})\n`,
      })
      expect(await call()).toBe('hello from worker')
    }
  })
})

test('code that awaits while it is loaded is called when it has loaded; one that fails there is refused with its stack', async () => {
  const call = await deployed('waits', {
    'index.ts': `const word = await new Promise<string>((done) => setTimeout(done, 20, 'waited'))
console.log('loaded')
export default () => new Response(word)\n`,
  })
  expect(await call()).toBe('waited')
  writeFileSync(
    join(work, 'waits', 'index.ts'),
    "await null\nthrow new Error('while loading')\nexport default () => new Response()\n",
  )
  const refused = await platform.fn('deploy', join(work, 'waits'))
  expect(refused.code).not.toBe(0)
  expect(refused.stderr).toMatch(/while loading[\s\S]*index\.ts:2:7/)
  expect(await call()).toBe('waited')
})

describe('what Node tells of the machine', () => {
  const SOURCE = `import os, { networkInterfaces, totalmem } from 'node:os'
export default () => Response.json({
  interfaces: networkInterfaces(), total: [totalmem(), os.totalmem(), process.constrainedMemory()],
  free: os.freemem(), available: process.availableMemory(),
})\n`
  interface Told {
    interfaces: Record<string, { address: string; internal: boolean; cidr: string }[]>
    total: number[]
    free: number
    available: number
  }

  test('is the sandbox’s own memory and its loopback interface', async () => {
    const call = await deployed('machine', { 'index.ts': SOURCE }, '--memory', '96m')
    const told = (await call()) as Told
    const bytes = 96 * 1024 ** 2
    expect(told.total).toEqual([bytes, bytes, bytes])
    for (const free of [told.free, told.available]) expect(free > 0 && free < bytes).toBe(true)
    expect(Object.keys(told.interfaces)).toEqual(['lo'])
    expect(told.interfaces.lo).toContainEqual(
      expect.objectContaining({ address: '127.0.0.1', cidr: '127.0.0.1/8', internal: true, family: 'IPv4' }),
    )
  })

  test('has the address of its link where it has a network', async () => {
    const call = await deployed('machine-net', { 'index.ts': SOURCE }, '--network', 'bridge')
    const { interfaces } = (await call()) as Told
    const [link] = Object.keys(interfaces).filter((name) => name !== 'lo')
    expect(interfaces[link!]).toContainEqual(expect.objectContaining({ internal: false, family: 'IPv4' }))
  })
})

describe('variables that are read when a process starts', () => {
  test('have their effect, and the function starts cold and says why', async () => {
    const call = await deployed(
      'options',
      {
        'fn.json': '{"files": ["ca.pem"]}',
        'ca.pem': '',
        'index.ts': `import { maxHeaderSize } from 'node:http'
export default () => Response.json([maxHeaderSize, process.env.NODE_OPTIONS, process.execArgv.length > 0])\n`,
      },
      '--env',
      'NODE_OPTIONS=--max-http-header-size=12345',
      '--env',
      'NODE_EXTRA_CA_CERTS=/code/ca.pem',
    )
    expect(await call()).toEqual([12345, '--max-http-header-size=12345', true])
    const { starts } = await platform.json<{ starts: { from: string; reason: string } }>('/v1/functions/options')
    expect(starts.from).toBe('cold')
  })

  test.each([
    ['--no-such-option', /env\.NODE_OPTIONS: --no-such-option: Node takes no such option from there/],
    ['--max-old-space-size=4000', /the heap follows from limits\.memory/],
    ['nonsense', /expected options such as/],
  ])('NODE_OPTIONS=%s is refused', async (options, words) => {
    const refused = await platform.fn(
      'deploy',
      join(work, 'waits'),
      '--name',
      'bad',
      '--env',
      `NODE_OPTIONS=${options}`,
    )
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(words)])
  })
})

test('a secret is kept byte for byte; --trim leaves out one line end', async () => {
  const source = 'export default (_: Request, ctx: unknown) => Response.json(process.env.WORD)\n'
  expect((await platform.fnWithInput('word\n', 'secret', 'set', 'WORD')).stderr).toContain('ends with a line end')
  const call = await deployed('secretive', { 'index.ts': source }, '--secret', 'WORD')
  expect(await call()).toBe('word\n')
  expect((await platform.fnWithInput('word\n', 'secret', 'set', 'WORD', '--trim')).stderr).toBe('')
  await until('the new value is there', async () => (await call()) === 'word')
})

test('a connection that its peer ended while the sandbox was frozen is known as ended when the next call runs', async () => {
  const peers: Socket[] = []
  const server = createServer((socket) => {
    peers.push(socket)
    socket.on('data', (chunk) => socket.write(chunk))
    socket.on('error', () => undefined)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const call = await deployed(
    'keeper',
    {
      'index.ts': `import { connect, type Socket } from 'node:net'
let kept: Socket | null = null
export default () => new Promise<Response>((resolve) => {
  const isNew = kept === null
  const socket = (kept ??= connect(${port}, '127.0.0.1').on('close', () => { kept = null }))
  socket.once('error', (error: any) => resolve(new Response(error.code, { status: 500 })))
  socket.once('data', () => { socket.removeAllListeners('error'); resolve(new Response(isNew ? 'new' : 'kept')) })
  socket.write('x')
})\n`,
    },
    '--network',
    'host',
    '--freeze-grace',
    '1ms',
  )
  const frozen = async () => {
    const all = await platform.json<SandboxInfo[]>('/v1/sandboxes')
    const mine = all.filter((sandbox) => sandbox.function === 'keeper')
    return mine.length === 1 && mine[0]!.state === 'frozen'
  }
  expect(await call()).toBe('new')
  await until('it is frozen', frozen)
  expect(await call()).toBe('kept')
  await until('it is frozen again', frozen)
  for (const peer of peers.splice(0)) peer.destroy()
  expect(await call()).toBe('new')
  server.close()
  for (const peer of peers) peer.destroy()
})
