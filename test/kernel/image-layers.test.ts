// Add-on layers in real sandboxes: native code from one, and what seccomp refuses native code.
import { mkdtempSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packTar } from 'modern-tar'
import { packTar as packFolders } from 'modern-tar/fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Sandbox, StoredImage } from '../../runtime/api.ts'
import { EVALUATOR, evaluate, startTestRuntime, type TestRuntime } from '../support/kernel-runtime.ts'

let platform: TestRuntime
let image: StoredImage
let sandbox: Sandbox
const folder = mkdtempSync(join(tmpdir(), 'thaw-layers-'))

beforeAll(async () => {
  platform = await startTestRuntime()
  image = await put(await addOn())
  sandbox = await platform.start(EVALUATOR, {}, { layers: image.layers })
})
afterAll(async () => {
  await sandbox.destroy()
  await platform.close()
  rmSync(folder, { recursive: true, force: true })
})

/** koffi, which can call anything of the C library. */
async function addOn(): Promise<string> {
  const modules = new URL('../../node_modules/', import.meta.url).pathname
  const names = ['koffi', '@koromix/koffi-linux-x64', '@koromix/koffi-linux-arm64']
  const sources = names.map((name) => ({
    type: 'directory' as const,
    source: modules + name,
    target: `node_modules/${name}`,
  }))
  const path = join(folder, 'add-on.tar')
  const present = sources.filter((source) => source.target.endsWith('koffi') || source.target.endsWith(process.arch))
  await writeFile(path, packFolders(present))
  return path
}

async function put(addonTar: string): Promise<StoredImage> {
  const { images } = platform.runtime
  const { digest } = await images.put({ source: Buffer.from('x'), sourceMap: null, addonTar, config: { n: 1 } })
  return images.get(digest)
}

describe('an add-on layer', () => {
  test('is mounted read-only at /code/node_modules, and its native code runs', async () => {
    expect(await evaluate(sandbox, `typeof require('koffi').load`)).toBe('function')
    expect(await evaluate(sandbox, `fs.writeFileSync('/code/node_modules/x', '')`)).toBe('EROFS')
  })

  test('reaches a writable root, as the code’s own', async () => {
    const layers = image.layers
    const writable = await platform.start(EVALUATOR, {}, { layers, writableRootBytes: 8 * 1024 ** 2 })
    expect(await evaluate(writable, `fs.writeFileSync('/code/node_modules/x', '')`)).toBe(null)
    expect(await evaluate(writable, `typeof require('koffi').load`)).toBe('function')
    await writable.destroy()
    expect(await evaluate(sandbox, `fs.existsSync('/code/node_modules/x')`)).toBe(false)
  })

  test('that leads out of its place is refused', async () => {
    const path = join(folder, 'evil.tar')
    await writeFile(path, await packTar([{ header: { name: 'node_modules/../../x', size: 1 }, body: 'x' }]))
    await expect(put(path)).rejects.toMatchObject({ code: 'IMAGE_INVALID' })
  })
})

describe('native code in a sandbox', () => {
  const EPERM = 1
  const ENOSYS = 38
  const errnoOf = (declaration: string, call: string) =>
    evaluate(
      sandbox,
      `(() => { const koffi = require('koffi'); const f = koffi.load('libc.so.6').func('${declaration}'); const r = ${call}; return r < 0 ? koffi.errno() : 0 })()`,
    )
  const syscall = (number: number) =>
    errnoOf('long syscall(long n, long a, long b, long c, long d, long e)', `f(${number}, 0, 0, 0, 0, 0)`)

  test.each([
    ['a new user namespace', 'int unshare(int flags)', 'f(0x10000000)', EPERM],
    ['another namespace', 'int setns(int fd, int type)', 'f(0, 0)', EPERM],
    ['a mount', 'int mount(str a, str b, str c, ulong d, str e)', `f('tmpfs', '/tmp', 'tmpfs', 0, null)`, EPERM],
    ['a packet socket', 'int socket(int family, int type, int protocol)', 'f(17, 3, 0)', EPERM],
    ['a host vsock', 'int socket(int family, int type, int protocol)', 'f(40, 1, 0)', EPERM],
    ['the kernel crypto', 'int socket(int family, int type, int protocol)', 'f(38, 5, 0)', EPERM],
    ['tracing', 'long ptrace(int request, int pid, size_t a, size_t b)', 'f(0, 0, 0, 0)', EPERM],
    ['a unix socket', 'int socket(int family, int type, int protocol)', 'f(1, 1, 0)', 0],
    ['an internet socket', 'int socket(int family, int type, int protocol)', 'f(2, 1, 0)', 0],
  ])('asking for %s gets what the list says', async (_what, declaration, call, errno) => {
    expect(await errnoOf(declaration, call)).toBe(errno)
  })

  test.each([
    ['io_uring_setup', 425, EPERM],
    ['pidfd_getfd', 438, EPERM],
    ['open_tree', 428, EPERM],
    ['clone3', 435, ENOSYS],
  ])('calling %s fails', async (_name, number, errno) => {
    expect(await syscall(number)).toBe(errno)
  })
})
