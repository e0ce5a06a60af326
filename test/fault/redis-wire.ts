// What faults say to Redis, and what they do to its file: bytes, no client library.
import { appendFileSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Chance } from './random.ts'

/** A server as fn up starts its own: every write is on disk before its answer. */
export function redisArguments(dir: string, socketPath: string): string[] {
  const settings = {
    port: '0',
    unixsocket: socketPath,
    dir,
    appendonly: 'yes',
    appendfsync: 'always',
    save: '',
    'maxmemory-policy': 'noeviction',
    'aof-load-truncated': 'yes',
  }
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
}

/** Sends one inline command and resolves to its first answer. Rejects when there is none within `ms`. */
export function say(socketPath: string, command: string, ms = 5_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath, () => socket.write(`${command}\r\n`))
    const fail = (error: Error): void => {
      socket.destroy()
      reject(error)
    }
    socket.setTimeout(ms, () => fail(new Error(`redis gave no answer to ${command}`)))
    socket.once('error', fail)
    socket.once('data', (answer) => {
      socket.destroy()
      resolve(answer.toString('latin1').trim())
    })
  })
}

/** Beginnings of commands as a crash leaves them: they were never acknowledged. */
const TORN = [
  '*3\r\n$3\r\nSET\r\n$9\r\ntorn-reco',
  '*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$1000\r\nnot all of it',
  '*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$1\r\nx\r\n',
  '*',
]

/** Appends one to the newest append-only file in `dir`. The caller knows that no Redis writes there. */
export function tearFile(dir: string, chance: Chance): void {
  const folder = join(dir, 'appendonlydir')
  const manifest = readFileSync(join(folder, 'appendonly.aof.manifest'), 'utf8')
  const newest = /^file (\S+) seq \d+ type i/m.exec(manifest.split('\n').reverse().join('\n'))?.[1]
  if (newest === undefined) throw new Error(`no append-only file in ${folder}: ${manifest}`)
  appendFileSync(join(folder, newest), chance.pick(TORN))
}
