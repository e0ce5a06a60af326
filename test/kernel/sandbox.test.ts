// One sandbox on the real kernel, seen from inside: what it is, what it may, and what it cannot reach.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Sandbox } from '../../runtime/api.ts'
import { call, EVALUATOR, evaluate } from '../support/kernel-runtime.ts'
import { MIB, useSandboxes } from '../support/kernel-sandboxes.ts'

const sandboxes = useSandboxes()
const start = sandboxes.start.bind(sandboxes)

describe('a sandbox', () => {
  test('boots, loads code and answers', async () => {
    const sandbox = await start(
      `async (request) => new Response('hello ' + new URL(request.url).pathname, { status: 201 })`,
    )
    expect(sandbox.state).toBe('running')
    expect(await call(sandbox, '/world')).toMatchObject({
      status: 201,
      text: 'hello /world',
      fault: null,
      reusable: true,
    })
    expect(sandbox.steps.map((step) => step.name)).toEqual([
      'uids',
      'folder',
      'root',
      'config',
      'container',
      'cgroup',
      'ready',
    ])
  })

  test('runs as uid 1000 without any capability, with no new privileges and a seccomp filter', async () => {
    const sandbox = await start(EVALUATOR)
    const status = String(await evaluate(sandbox, `fs.readFileSync('/proc/self/status', 'utf8')`))
    expect(status).toMatch(/^Uid:\s1000\s1000\s1000\s1000$/m)
    expect(status).toMatch(/^Gid:\s1000\s1000\s1000\s1000$/m)
    for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb']) expect(status).toMatch(new RegExp(`^Cap${set}:\\s0+$`, 'm'))
    expect(status).toMatch(/^NoNewPrivs:\s1$/m)
    expect(status).toMatch(/^Seccomp:\s2$/m)
  })

  test('is in namespaces of its own, all seven', async () => {
    const sandbox = await start(EVALUATOR)
    for (const name of ['mnt', 'uts', 'ipc', 'pid', 'net', 'user', 'cgroup']) {
      expect(statSync(`/proc/${sandbox.pid}/ns/${name}`).ino, name).not.toBe(statSync(`/proc/self/ns/${name}`).ino)
    }
    expect(await evaluate(sandbox, 'process.pid')).toBe(1)
    expect(await evaluate(sandbox, 'os.hostname()')).toBe('sandbox')
  })

  test('has a host uid range that no other sandbox has', async () => {
    const [one, two] = await Promise.all([start(EVALUATOR), start(EVALUATOR)])
    const uidOf = (sandbox: Sandbox) => statSync(`/proc/${sandbox.pid}`).uid
    expect(uidOf(one)).toBeGreaterThan(0x70000000)
    expect(Math.abs(uidOf(one) - uidOf(two))).toBeGreaterThanOrEqual(65_536)
  })

  test('cannot write to its root, to /dev, or to the bootstrap', async () => {
    const sandbox = await start(EVALUATOR)
    for (const path of ['/x', '/etc/x', '/code/x', '/var/tmp/x', '/runtime/bootstrap.cjs', '/usr/bin/node']) {
      expect(await evaluate(sandbox, `fs.writeFileSync('${path}', 'x')`), path).toBe('EROFS')
    }
    expect(await evaluate(sandbox, `fs.writeFileSync('/dev/x', 'x')`)).toBe('EACCES')
  })

  test('has a /tmp that ends at its size and at its number of files', async () => {
    const sandbox = await start(EVALUATOR, { tmpfs: 4 * MIB })
    expect(await evaluate(sandbox, `fs.writeFileSync('/tmp/a', Buffer.alloc(3 * 1048576))`)).toBe(null)
    expect(await evaluate(sandbox, `fs.writeFileSync('/tmp/b', Buffer.alloc(2 * 1048576))`)).toBe('ENOSPC')
    const many = `for (let i = 0; i < 5000; i++) fs.writeFileSync('/tmp/f' + i, '')`
    expect(await evaluate(sandbox, `(() => { fs.rmSync('/tmp/a'); fs.rmSync('/tmp/b'); ${many} })()`)).toBe('ENOSPC')
    expect(await evaluate(sandbox, `fs.readdirSync('/tmp').length < 1100`)).toBe(true)
  })

  test('sees a loopback device and nothing of the network', async () => {
    const sandbox = await start(EVALUATOR)
    const devices = String(await evaluate(sandbox, `fs.readFileSync('/proc/net/dev', 'utf8')`))
    expect(devices.match(/^\s*\w+:/gm)).toEqual(['    lo:'])
    const dial = `fetch('http://192.0.2.1/').then(() => 'reached', (error) => error.cause.code)`
    expect(await evaluate(sandbox, dial)).toBe('ENETUNREACH')
  })

  test('sees no path of the host in its mounts, and neither the kernel’s symbols nor its memory', async () => {
    const sandbox = await start(EVALUATOR)
    const mounts = String(await evaluate(sandbox, `fs.readFileSync('/proc/self/mountinfo', 'utf8')`))
    expect(mounts).not.toContain(sandboxes.platform.stateDir)
    expect(mounts).not.toContain('/run/thaw')
    expect(mounts).not.toMatch(/ - cgroup2? /)
    for (const file of ['kallsyms', 'keys', 'timer_list']) {
      expect(['', 'EACCES'], file).toContain(await evaluate(sandbox, `fs.readFileSync('/proc/${file}', 'utf8')`))
    }
  })

  test('gets nothing of the platform’s environment', async () => {
    const sandbox = await start(EVALUATOR)
    const names = (await evaluate(sandbox, 'Object.keys(process.env)')) as string[]
    const known = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'NODE_ENV', 'HOSTNAME', 'PWD', 'TERM']
    expect(names.filter((name) => !known.includes(name))).toEqual([])
  })

  test('can run children, and cannot become anybody else', async () => {
    const sandbox = await start(EVALUATOR)
    expect(await evaluate(sandbox, `child.spawnSync('/bin/sh', ['-c', 'exit 7']).status`)).toBe(7)
    const map = String(await evaluate(sandbox, `fs.readFileSync('/proc/self/uid_map', 'utf8')`))
    expect(map.trim().split(/\s+/)[2]).toBe('65536')
    expect(await evaluate(sandbox, `process.setuid(0)`)).toBe('EPERM')
  })

  test('cannot see another sandbox: neither its processes nor its files', async () => {
    const [one, two] = await Promise.all([start(EVALUATOR), start(EVALUATOR)])
    await evaluate(one, `fs.writeFileSync('/tmp/secret', 'x')`)
    expect(await evaluate(two, `fs.existsSync('/tmp/secret')`)).toBe(false)
    expect(await evaluate(two, `fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name))`)).toEqual(['1'])
  })

  test('gives native output of child processes to the call that runs', async () => {
    const sandbox = await start(`async () => {
      require('node:child_process').spawnSync('/bin/sh', ['-c', 'echo from a child; echo to stderr >&2'], { stdio: 'inherit' })
      await new Promise((resolve) => setTimeout(resolve, 50))
      return new Response('done')
    }`)
    const { lines } = await call(sandbox)
    expect(lines).toContain('stdout: from a child')
    expect(lines).toContain('stderr: to stderr')
  })

  test('freezes, stands still, and answers after the thaw', async () => {
    const sandbox = await start(`async () => new Response('ok')`)
    await call(sandbox)
    expect(await sandbox.freeze()).toBeGreaterThan(0)
    expect(sandbox.state).toBe('frozen')
    expect(() => sandbox.invoke({} as never, {} as never)).toThrow(/frozen/)
    expect(sandbox.thaw()).toBeGreaterThan(0)
    expect(sandbox.state).toBe('running')
    expect(await call(sandbox)).toMatchObject({ text: 'ok', fault: null })
  })
})

describe('limits fixed at creation', () => {
  test('ulimits come into force', async () => {
    const sandbox = await start(EVALUATOR, { ulimits: [{ name: 'nofile', soft: 64, hard: 64 }] })
    const limits = String(await evaluate(sandbox, `fs.readFileSync('/proc/self/limits', 'utf8')`))
    expect(limits).toMatch(/^Max open files\s+64\s+64/m)
    expect(limits).toMatch(/^Max core file size\s+0\s+0/m)
  })

  test('a scratch disk is there, empty, the code’s own, and ends at its size', async () => {
    const sandbox = await start(EVALUATOR, { scratch: 8 * MIB })
    expect(await evaluate(sandbox, 'process.env.FN_SCRATCH_DIR')).toBe('/scratch')
    expect(await evaluate(sandbox, `fs.readdirSync('/scratch')`)).toEqual([])
    expect(await evaluate(sandbox, `fs.writeFileSync('/scratch/a', Buffer.alloc(2 * 1048576))`)).toBe(null)
    expect(await evaluate(sandbox, `fs.writeFileSync('/scratch/b', Buffer.alloc(8 * 1048576))`)).toBe('ENOSPC')
  })

  test('a write to the scratch disk is counted, buffered as it is', async () => {
    const sandbox = await start(EVALUATOR, { scratch: 32 * MIB })
    sandbox.beginMetering()
    await evaluate(sandbox, `fs.writeFileSync('/scratch/a', Buffer.alloc(4 * 1048576, 1))`)
    expect(sandbox.endMetering(true).ioWriteBytes).toBeGreaterThanOrEqual(4 * MIB)
  })
})

describe('a writable root', () => {
  test('takes changes to any file, and the layers below stay as they are', async () => {
    const sandbox = await start(EVALUATOR, {}, { writableRootBytes: 16 * MIB })
    expect(await evaluate(sandbox, `fs.statSync('/etc/hosts').uid`)).toBe(1000)
    expect(await evaluate(sandbox, `fs.appendFileSync('/etc/hosts', 'mine')`)).toBe(null)
    expect(await evaluate(sandbox, `fs.writeFileSync('/code/new', 'x')`)).toBe(null)
    expect(await evaluate(sandbox, `fs.rmSync('/etc/passwd')`)).toBe(null)
    const layers = `${sandboxes.platform.stateDir}/layers`
    const base = `${layers}/${readdirSync(layers).find((name) => name.startsWith('base-'))}`
    expect(readFileSync(`${base}/etc/hosts`, 'utf8')).not.toContain('mine')
    expect(existsSync(`${base}/etc/passwd`)).toBe(true)
    expect(existsSync(`${base}/code/new`)).toBe(false)
    expect(statSync(`${base}/etc/hosts`).uid).toBe(0)
  })

  test('ends at its size, and another sandbox starts from the same layers unchanged', async () => {
    const sandbox = await start(EVALUATOR, {}, { writableRootBytes: 2 * MIB })
    expect(await evaluate(sandbox, `fs.writeFileSync('/big', Buffer.alloc(4 * 1048576))`)).toBe('ENOSPC')
    const other = await start(EVALUATOR, {}, { writableRootBytes: 2 * MIB })
    expect(await evaluate(other, `fs.existsSync('/big')`)).toBe(false)
  })
})
