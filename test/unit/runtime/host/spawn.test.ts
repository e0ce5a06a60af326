import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { run, spawn } from '../../../../runtime/host/spawn.ts'
import type { WireSocket } from '../../../../runtime/host/wire-socket.ts'
import { text } from '../../../support/streams.ts'
import { until } from '../../../support/until.ts'

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

describe('a child that hands its streams on to strangers', () => {
  test('has sockets of its own as stdout, stderr and fd 3, and says what it says', async () => {
    const script = 'stat -L -c %F /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3; echo err >&2; echo wire >&3'
    const child = spawn('/bin/sh', ['-c', script], { wireBuffer: Buffer.alloc(1024) })
    const wire: string[] = []
    ;(child.socket as WireSocket).takeBytes((chunk) => wire.push(chunk.toString()))
    expect((await child.exited).code).toBe(0)
    // Read only now: what came before the end is kept.
    expect(await text(child.stdout)).toBe('socket\nsocket\nsocket\n')
    expect(await text(child.stderr)).toBe('err\n')
    expect(wire.join('')).toBe('wire\n')
    child.socket?.destroy()
  })

  test('that cannot be started leaves no descriptor open', async () => {
    const before = readdirSync('/proc/self/fd').length
    expect(() => spawn('/nowhere/program', [], { wireBuffer: Buffer.alloc(16) })).toThrow('/nowhere/program')
    await until('all are closed', () => readdirSync('/proc/self/fd').length <= before)
  })
})
