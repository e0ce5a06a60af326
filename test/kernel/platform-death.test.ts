// What is left when a platform is killed: nothing, whether the guard lives to clean up or the next start has to.
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { lockStateDir, stateId } from '../../runtime/runtime.ts'
import { startTestRuntime } from '../support/kernel-runtime.ts'
import { snapshotKernel } from '../support/leftovers.ts'
import { until } from '../support/until.ts'

const folders: string[] = []
const CHILD = new URL('../fixtures/platform-child.ts', import.meta.url).pathname

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** Starts a platform in a process of its own; resolves when its sandboxes run. */
async function startPlatform(ownMounts: boolean) {
  const stateDir = mkdtempSync(join(tmpdir(), 'thaw-death-'))
  folders.push(stateDir)
  const command = ownMounts ? ['unshare', '--mount', '--propagation', 'slave'] : []
  const [program = '', ...args] = [...command, process.execPath, CHILD, stateDir]
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const pids = await new Promise<number[]>((resolve, reject) => {
    child.stdout.once('data', (text: Buffer) => resolve(String(text).trim().split(' ').slice(1).map(Number)))
    child.once('exit', (code) => reject(new Error(`the platform ended with ${code}`)))
  })
  const platformId = await stateId(stateDir)
  const kill = async (pid: number) => {
    const gone = new Promise((resolve) => child.once('exit', resolve))
    process.kill(pid, 'SIGKILL')
    if (pid === child.pid) await gone
  }
  const guardPid = Number(readFileSync(`/run/thaw/${platformId}/guard.pid`, 'utf8'))
  return { child, pids, stateDir, platformId, guardPid, kill }
}

function isClean(platformId: string, pids: readonly number[]): boolean | string {
  const left = Object.values(snapshotKernel(platformId)).flat()
  const alive = pids.filter((pid) => isRunning(pid))
  return left.length + alive.length === 0 || [...left, ...alive].join(' ')
}

/** A zombie waits only for its new parent to look. */
function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

describe('a platform that is killed', () => {
  test.each([
    ['in the host’s mount namespace', false],
    ['in a mount namespace of its own', true],
  ])('%s leaves nothing once its guard is through', async (_where, ownMounts) => {
    const { child, pids, platformId, stateDir, kill } = await startPlatform(ownMounts)
    await kill(child.pid ?? 0)
    await until('nothing is left', () => isClean(platformId, pids))
    expect(readdirSync(join(stateDir, 'scratch')).filter((name) => name.startsWith('sandbox-'))).toEqual([])
  })

  test('together with its guard is cleaned up after by the next start', async () => {
    const { child, pids, platformId, stateDir, guardPid, kill } = await startPlatform(false)
    await kill(guardPid)
    await kill(child.pid ?? 0)
    expect(isClean(platformId, pids)).not.toBe(true)
    const next = await startTestRuntime({ stateDir })
    expect(pids.filter(isRunning)).toEqual([])
    const { mounts, loops } = snapshotKernel(platformId)
    expect([...mounts, ...loops]).toEqual([])
    await next.runtime.close()
    expect(isClean(platformId, pids)).toBe(true)
  })

  test('is followed at once by another, which the old guard does not touch', async () => {
    const { child, pids, platformId, stateDir, kill } = await startPlatform(false)
    await kill(child.pid ?? 0)
    const lock = await lockStateDir(stateDir)
    const next = await startTestRuntime({ stateDir })
    const sandbox = await next.start(`async () => new Response('ok')`)
    expect(sandbox.state).toBe('running')
    await sandbox.destroy()
    await next.runtime.close()
    lock.release()
    expect(isClean(platformId, pids)).toBe(true)
  })
})

describe('the lock of a state directory', () => {
  test('names the process that holds it, and ends with it', async () => {
    const { child, stateDir, platformId, pids, kill } = await startPlatform(false)
    await expect(lockStateDir(stateDir)).rejects.toMatchObject({
      code: 'STATE_LOCKED',
      message: expect.stringContaining(`process ${child.pid}`),
    })
    await kill(child.pid ?? 0)
    const lock = await lockStateDir(stateDir)
    lock.release()
    const next = await startTestRuntime({ stateDir })
    await next.runtime.close()
    expect(isClean(platformId, pids)).toBe(true)
  })
})

describe('a start that fails', () => {
  test('leaves nothing and says what is missing', async () => {
    const stateDir = mkdtempSync(join(tmpdir(), 'thaw-death-'))
    folders.push(stateDir)
    const platformId = await stateId(stateDir)
    await expect(startTestRuntime({ stateDir, nodeBinary: '/nowhere/node' })).rejects.toMatchObject({
      code: 'HOST_UNSUITABLE',
    })
    await expect(startTestRuntime({ stateDir, ociRuntime: '/nowhere/runc' })).rejects.toMatchObject({
      code: 'HOST_UNSUITABLE',
      message: expect.stringContaining('FN_OCI_RUNTIME'),
    })
    expect(isClean(platformId, [])).toBe(true)
  })
})
