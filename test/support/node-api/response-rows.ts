// What http.ServerResponse promises: rows by member, several for some. A row leaves the response open, or ends it.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'

/** Asked in a handler of a real server and of fromNode; what it gives is compared. */
export type Probe = (req: IncomingMessage, res: ServerResponse) => unknown

export const ended = (res: ServerResponse) => new Promise<void>((resolve) => void res.once('close', () => resolve()))

/** Rows by member; several for some. A member that only clients have, or that has no meaning without a wire, says why. */
export const RESPONSE: Readonly<Record<string, readonly Probe[] | string>> = {
  errored: [
    (_q, s) => s.errored,
    (_q, s) => {
      s.destroy(new Error('x'))
      return (s.errored as Error | null)?.message
    },
  ],
  closed: [
    (_q, s) => (s as unknown as { closed: boolean }).closed,
    async (_q, s) => {
      s.end()
      await ended(s)
      return (s as unknown as { closed: boolean }).closed
    },
  ],
  writableFinished: [
    (_q, s) => [s.writableFinished, s.end('x') === s, s.writableEnded],
    async (_q, s) => {
      s.end('x')
      await ended(s)
      return s.writableFinished
    },
  ],
  writableObjectMode: [(_q, s) => s.writableObjectMode],
  writableLength: [(_q, s) => s.writableLength],
  writableHighWaterMark: [(_q, s) => s.writableHighWaterMark],
  writableCorked: [
    (_q, s) => {
      s.cork()
      const corked = s.writableCorked
      s.uncork()
      return [corked, s.writableCorked]
    },
  ],
  connection: [(q, s) => s.connection === q.socket],
  socket: [
    (q, s) => [s.socket === q.socket, s.socket instanceof Socket],
    async (_q, s) => {
      s.end()
      await ended(s)
      return s.socket === null
    },
  ],
  cork: [
    (_q, s) => {
      s.cork()
      s.write('a')
      s.write('b')
      s.uncork()
      s.end('c')
    },
    (_q, s) => {
      s.cork()
      s.write('a')
      process.nextTick(() => {
        s.uncork()
        s.end()
      })
    },
  ],
  uncork: [(_q, s) => s.uncork()],
  setTimeout: [
    (_q, s) => s.setTimeout(0) === s,
    (_q, s) =>
      new Promise((resolve) =>
        s.setTimeout(20, () => {
          s.statusCode = 503
          s.end('by itself')
          resolve('timed out')
        }),
      ),
    (_q, s) => {
      s.setTimeout(20)
      s.write('part')
    },
  ],
  destroy: [
    (_q, s) => {
      const same = s.destroy() === s
      return [same, s.destroyed]
    },
    async (_q, s) => {
      s.write('part')
      await new Promise((r) => setTimeout(r, 10))
      s.destroy()
      return s.destroyed
    },
    (_q, s) => {
      s.end('whole')
      s.destroy()
    },
  ],
  setHeader: [
    (_q, s) => {
      s.setHeader('X-B', '1').setHeader('x-list', ['1', '2'])
      s.end('x')
    },
    (_q, s) => {
      s.end()
      s.setHeader('x-c', '1')
    },
    (_q, s) => s.setHeader('x-c', undefined as never),
    (_q, s) => s.setHeader('bad name', '1'),
    (_q, s) => s.setHeader('x-c', 'a\nb'),
  ],
  setHeaders: [
    (_q, s) => {
      s.setHeaders(new Headers({ 'x-b': '1' }))
      s.setHeaders(new Map([['x-c', '2']]))
      s.end()
    },
    (_q, s) => s.setHeaders({} as never),
  ],
  appendHeader: [
    (_q, s) => {
      s.appendHeader('x-b', '1')
      s.appendHeader('X-B', ['2', '3'])
      s.end()
      return s.getHeader('x-b')
    },
  ],
  getHeader: [
    (_q, s) => {
      s.setHeader('X-B', 1)
      return [s.getHeader('x-b'), s.getHeader('none')]
    },
  ],
  getHeaderNames: [
    (_q, s) => {
      s.setHeader('X-B', '1')
      return s.getHeaderNames()
    },
  ],
  getRawHeaderNames: [
    (_q, s) => {
      s.setHeader('X-B', '1')
      return (s as unknown as { getRawHeaderNames(): string[] }).getRawHeaderNames()
    },
  ],
  getHeaders: [
    (_q, s) => {
      s.setHeader('X-B', ['1'])
      return { ...s.getHeaders() }
    },
  ],
  hasHeader: [
    (_q, s) => {
      s.setHeader('X-B', '1')
      return [s.hasHeader('x-b'), s.hasHeader('x')]
    },
  ],
  removeHeader: [
    (_q, s) => {
      s.setHeader('x-b', '1')
      s.removeHeader('X-B')
      s.end()
    },
    (_q, s) => {
      s.end()
      s.removeHeader('x')
    },
  ],
  headersSent: [
    (_q, s) => {
      const before = s.headersSent
      s.write('x')
      const after = s.headersSent
      s.end()
      return [before, after]
    },
  ],
  writableEnded: [
    (_q, s) => {
      const before = s.writableEnded
      s.end()
      return [before, s.writableEnded]
    },
  ],
  writableNeedDrain: [
    (_q, s) => s.writableNeedDrain,
    async (_q, s) => {
      const full = !s.write(Buffer.alloc(4 * 1024 ** 2))
      const need = s.writableNeedDrain
      await new Promise((r) => s.once('drain', r))
      const after = s.writableNeedDrain
      s.end()
      return [full, need, after]
    },
  ],
  write: [
    (_q, s) => {
      s.write('a')
      s.write(Buffer.from('b'))
      s.write(Uint8Array.of(99))
      s.write('64', 'hex')
      s.end()
    },
    (_q, s) =>
      new Promise((resolve) => {
        s.write('a', () => {
          s.end()
          resolve('written')
        })
      }),
    (_q, s) => s.write(5 as never),
    (_q, s) => s.write(null as never),
    async (_q, s) => {
      s.on('error', () => undefined)
      s.end('x')
      return new Promise((resolve) => s.write('late', (error) => resolve((error as { code?: string } | null)?.code)))
    },
  ],
  addTrailers: [
    (_q, s) => {
      s.writeHead(200, { Trailer: 'X-Sum' })
      s.write('x')
      s.addTrailers({ 'X-Sum': '1' })
      s.end()
    },
    (_q, s) => {
      s.setHeader('Trailer', 'X-Sum')
      s.addTrailers([['X-Sum', '1']] as never)
      s.write('x')
      s.end()
    },
    (_q, s) => s.addTrailers({ 'bad name': '1' }),
  ],
  end: [
    (_q, s) => s.end('a') === s,
    (_q, s) => new Promise((resolve) => s.end('a', () => resolve('ended'))),
    (_q, s) => {
      s.end('61', 'hex')
      s.end()
    },
    (_q, s) => {
      s.write('a')
      setTimeout(() => s.end('b'), 5)
    },
  ],
  flushHeaders: [
    (_q, s) => {
      s.setHeader('x-b', '1')
      s.flushHeaders()
      const sent = s.headersSent
      setTimeout(() => s.end('x'), 5)
      return sent
    },
  ],
  pipe: [
    (_q, s) =>
      new Promise((resolve) => {
        s.on('error', (error) => {
          resolve((error as { code?: string }).code)
          s.end()
        })
        ;(s as unknown as { pipe(): void }).pipe()
      }),
  ],
  statusCode: [
    (_q, s) => {
      const before = s.statusCode
      s.statusCode = 404
      s.end()
      return before
    },
    (_q, s) => {
      s.statusCode = 1000
      s.end()
    },
  ],
  statusMessage: [
    (_q, s) => {
      const before = s.statusMessage
      s.end()
      return [before, s.statusMessage]
    },
  ],
  assignSocket: [(q, s) => s.assignSocket(q.socket)],
  detachSocket: [
    (q, s) => {
      s.detachSocket(q.socket)
      const none = s.socket
      s.assignSocket(q.socket)
      return none
    },
  ],
  writeInformation: [
    (_q, s) => (s as unknown as { writeInformation?: (status: number) => void }).writeInformation?.(102),
  ],
  writeContinue: [(_q, s) => new Promise<void>((resolve) => s.writeContinue(resolve))],
  writeProcessing: [(_q, s) => s.writeProcessing()],
  writeEarlyHints: [
    (_q, s) => new Promise<void>((resolve) => s.writeEarlyHints({ link: '</a.css>; rel=preload' }, resolve)),
    (_q, s) => s.writeEarlyHints({ link: 5 as never }),
  ],
  writeHead: [
    (_q, s) => {
      const same = s.writeHead(201, 'Made', { 'x-b': '1' }) === s
      s.end('x')
      return [same, s.statusMessage]
    },
    (_q, s) => {
      s.setHeader('x-b', '1')
      s.writeHead(200, ['x-c', '2', 'x-c', '3'])
      s.end()
    },
    (_q, s) => {
      s.end()
      s.writeHead(200)
    },
    (_q, s) => {
      s.writeHead(42)
    },
  ],
  writeHeader: [
    (_q, s) => {
      ;(s as unknown as { writeHeader(status: number): void }).writeHeader(202)
      s.end()
    },
  ],
}
