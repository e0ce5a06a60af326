// Against small shell scripts in place of the OCI runtime.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { openOciRuntime } from '../../../../runtime/oci/oci-runtime.ts'
import { realClock } from '../../../support/real-clock.ts'

const folder = mkdtempSync(join(tmpdir(), 'thaw-oci-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function script(name: string, body: string, is = 'fake') {
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\ncase "$*" in *--version*) echo "${is} version 1.2"; exit 0;; esac\n${body}\n`, {
    mode: 0o755,
  })
  return openOciRuntime({ path, root: join(folder, 'oci'), clock: realClock })
}

describe('the OCI runtime', () => {
  test('tells its version', async () => {
    expect((await script('version', '')).version).toBe('fake 1.2')
  })

  test('that is not there is a reason why this host will not do, with the way out', async () => {
    const opening = openOciRuntime({ path: join(folder, 'nothing'), root: folder, clock: realClock })
    await expect(opening).rejects.toMatchObject({
      code: 'HOST_UNSUITABLE',
      message: expect.stringContaining('apt-get install runc'),
    })
  })

  test('gives the process a connected socket as fd 3, and its streams', async () => {
    const runtime = await script(
      'good',
      `for arg; do [ "$last" = --pid-file ] && pid_file=$arg; last=$arg; done
       echo 4711 >"$pid_file"; echo out; echo err >&2; echo hello >&3`,
    )
    const { pid, socket, stdout } = await runtime.run('s1', folder)
    expect(pid).toBe(4711)
    const said = await new Promise<string>((resolve) => socket.takeBytes((chunk) => resolve(chunk.toString())))
    expect(said).toBe('hello\n')
    expect(String(await new Promise((resolve) => stdout.once('data', resolve)))).toBe('out\n')
    socket.destroy()
  })

  test('that fails has its own words in the error', async () => {
    const runtime = await script('bad', 'echo "cpuset: no such CPU" >&2; exit 1')
    await expect(runtime.run('s2', folder)).rejects.toMatchObject({
      code: 'CREATE_FAILED',
      message: expect.stringContaining('exit 1: cpuset: no such CPU'),
    })
  })

  test('that crashes in Go has its words in the error, not the stacks of its threads', async () => {
    const runtime = await script(
      'crash',
      `printf 'runtime: failed to create new OS thread (have 2 already; errno=11)\\nfatal error: newosproc\\n\\n' >&2
       printf 'runtime stack:\\nruntime.throw(...)\\n\\ngoroutine 1 [running]:\\nmain.main() 550 sp=0x1\\n' >&2; exit 2`,
    )
    const failed = await runtime.run('s3', folder).catch((error: Error) => error.message)
    expect(failed).toMatch(/exit 2: runtime: failed to create new OS thread .*\nfatal error: newosproc$/)
  })

  test('if it is runc, is not even started to forget a container without cgroups; another is asked', async () => {
    const log = join(folder, 'started')
    const state = join(folder, 'oci', 's4')
    for (const [is, asked] of [
      ['runc', ''],
      ['crun', 'x\n'],
    ] as const) {
      writeFileSync(log, '')
      mkdirSync(state, { recursive: true })
      writeFileSync(join(state, 'state.json'), '{}')
      const runtime = await script(is, `echo x >>${log}; rm -r ${state}`, is)
      await runtime.forget('s4')
      expect([existsSync(state), readFileSync(log, 'utf8')]).toEqual([false, asked])
      await runtime.forget('never-there')
    }
  })

  test('is not asked again to delete what it does not know', async () => {
    const log = join(folder, 'asked')
    const runtime = await script('forgetful', `echo x >>${log}; echo "container does not exist" >&2; exit 1`)
    await runtime.delete('s3')
    expect(readFileSync(log, 'utf8')).toBe('x\n')
  })
})
