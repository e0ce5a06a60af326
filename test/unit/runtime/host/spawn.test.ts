import { describe, expect, test } from 'vitest'
import { run, spawn } from '../../../../runtime/host/spawn.ts'

describe('a child process', () => {
  test('inherits nothing of the environment', async () => {
    process.env.THAW_SPAWN_TEST = 'secret'
    const { stdout } = await run('/usr/bin/env', [])
    delete process.env.THAW_SPAWN_TEST
    expect(stdout).toMatch(/^PATH=\S+\n$/)
  })

  test('tells how it ended', async () => {
    expect(await run('/bin/sh', ['-c', 'echo out; echo err >&2; exit 3'])).toEqual({
      code: 3,
      signal: null,
      stdout: 'out\n',
      stderr: 'err\n',
    })
    expect(await run('/bin/sh', ['-c', 'kill -9 $$'])).toMatchObject({ code: null, signal: 'SIGKILL' })
  })

  test('that cannot be started throws at once, with its name', () => {
    expect(() => spawn('/nowhere/program', [])).toThrow('/nowhere/program')
  })

  test('gets one end of a socket as fd 3', async () => {
    const child = spawn('/bin/sh', ['-c', 'read -r line <&3; echo "got $line" >&3'], { extraSocket: true })
    child.socket?.write('this\n')
    expect(String(await new Promise((resolve) => child.socket?.once('data', resolve)))).toBe('got this\n')
    expect(await child.exited).toEqual({ code: 0, signal: null })
    child.socket?.destroy()
  })

  test('has exited also while somebody else holds its streams', async () => {
    const child = spawn('/bin/sh', ['-c', 'sleep 5 & echo $!'])
    const holder = Number(await new Promise((resolve) => child.stdout?.once('data', resolve)))
    expect((await child.exited).code).toBe(0)
    process.kill(holder, 'SIGKILL')
  })
})
