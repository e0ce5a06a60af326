// What http.IncomingMessage promises, what is on both objects and their socket, and the ways to cut a call.
import { Socket } from 'node:net'
import { finished, pipeline, Readable } from 'node:stream'
import { ended, type Probe } from './response-rows.ts'

export const REQUEST: Readonly<Record<string, readonly Probe[] | string>> = {
  connection: [(q) => q.connection === q.socket],
  headers: [(q) => [q.headers['x-a'], q.headers['content-type']]],
  headersDistinct: [(q) => q.headersDistinct['x-a']],
  trailers: [(q) => ({ ...q.trailers })],
  trailersDistinct: [(q) => ({ ...q.trailersDistinct })],
  signal: [
    (q) => (q as unknown as { signal: AbortSignal }).signal.aborted,
    async (q) => {
      const { signal } = q as unknown as { signal: AbortSignal }
      q.on('error', () => undefined)
      q.destroy()
      await new Promise((r) => setTimeout(r, 5))
      return signal.aborted
    },
  ],
  setTimeout: [
    (q) => q.setTimeout(0) === q,
    (q, s) =>
      new Promise((resolve) =>
        q.socket.setTimeout(20, () => {
          s.end('socket')
          resolve('timed out')
        }),
      ),
  ],
}

/** What is on the objects themselves, and on the socket. */
export const OTHERS: Readonly<Record<string, Probe>> = {
  'properties of the response': (_q, s) => [
    s.sendDate,
    s.strictContentLength,
    s.shouldKeepAlive,
    s.useChunkedEncodingByDefault,
    s.finished,
    s.destroyed,
    s.writable,
  ],
  'res.req': (q, s) => s.req === q,
  'properties of the request': (q) => [
    q.httpVersion,
    q.httpVersionMajor,
    q.httpVersionMinor,
    q.method,
    q.url,
    q.rawTrailers,
    q.aborted,
    q.complete,
    q.destroyed,
    q.readable,
    (q as unknown as { upgrade: boolean }).upgrade,
    q.statusCode,
    q.statusMessage,
  ],
  'raw headers': (q) => q.rawHeaders.map((text) => text.toLowerCase()).includes('x-a'),
  'the socket': ({ socket }) => [
    socket instanceof Socket,
    socket.remoteAddress,
    socket.remoteFamily,
    socket.localAddress,
    (socket as unknown as { encrypted?: boolean }).encrypted,
    socket.readyState,
    socket.pending,
    socket.connecting,
    socket.destroyed,
    socket.readable,
    socket.writable,
  ],
  'methods of the socket': ({ socket }) => [
    socket.setKeepAlive(true) === socket,
    socket.setNoDelay() === socket,
    socket.ref() === socket,
    socket.unref() === socket,
    typeof (socket.address() as { port?: number }).port,
  ],
  'read by events': (q) =>
    new Promise((resolve) => {
      let text = ''
      q.on('data', (part) => {
        text += part
      })
      q.on('end', () => resolve([text, q.complete, q.readableEnded]))
    }),
  'read by for await': async (q) => {
    let text = ''
    for await (const part of q) text += part
    return [text, q.complete]
  },
  'read by setEncoding': (q) =>
    new Promise((resolve) => {
      q.setEncoding('hex')
      let text = ''
      q.on('data', (part) => {
        text += part
      })
      q.on('end', () => resolve(text))
    }),
  'paused and resumed': (q) =>
    new Promise((resolve) => {
      let text = ''
      q.on('data', (part) => {
        text += part
        q.pause()
        setTimeout(() => q.resume(), 2)
      })
      q.on('end', () => resolve(text))
    }),
  'events of the request, unread': async (q, s) => {
    const names: string[] = []
    for (const name of ['aborted', 'end', 'error', 'close']) q.on(name, () => names.push(name))
    s.end('x')
    await ended(s)
    await new Promise((r) => setTimeout(r, 20))
    return names
  },
  'events of the request, read': async (q, s) => {
    const names: string[] = []
    for (const name of ['aborted', 'end', 'error', 'close']) q.on(name, () => names.push(name))
    q.resume()
    await new Promise((r) => q.once('end', r))
    s.end()
    await ended(s)
    return names
  },
  'events of the response': async (_q, s) => {
    const names: string[] = []
    for (const name of ['prefinish', 'finish', 'error', 'close']) s.on(name, () => names.push(name))
    s.write('a')
    s.end('b')
    await ended(s)
    await new Promise((r) => setTimeout(r, 5))
    return names
  },
  'events of a response that is cut': async (q, s) => {
    const names: string[] = []
    for (const name of ['finish', 'error', 'close']) s.on(name, () => names.push(`res ${name}`))
    for (const name of ['aborted', 'close']) q.on(name, () => names.push(`req ${name}`))
    s.write('a')
    await new Promise((r) => setTimeout(r, 10))
    q.socket.destroy()
    await new Promise((r) => setTimeout(r, 20))
    return names.sort()
  },
  'stream.finished of the response': (_q, s) =>
    new Promise((resolve) => {
      finished(s, (error) => resolve((error as { code?: string } | undefined)?.code ?? 'ok'))
      s.end('x')
    }),
  'stream.finished of one that is cut': (_q, s) =>
    new Promise((resolve) => {
      s.write('x')
      finished(s, (error) => resolve((error as { code?: string } | undefined)?.code ?? 'ok'))
      setTimeout(() => s.destroy(), 10)
    }),
  'a pipe into the response': (_q, s) => {
    Readable.from(['a', 'b', 'c']).pipe(s)
    return ended(s)
  },
  'a pipeline into the response': (_q, s) =>
    new Promise((resolve) => pipeline(Readable.from(['a', 'b']), s, (error) => resolve(error?.message ?? 'ok'))),
}

/** Each of them ends the call at once, as a cut one. */
export const CUTS: Readonly<Record<string, Probe>> = {
  'req.socket.destroy()': (q) => void q.socket.destroy(),
  'res.socket.destroy(error)': (_q, s) => void s.socket!.destroy(new Error('x')),
  'req.destroy()': (q) => void q.destroy(),
  'req.destroy(error)': (q) => void q.destroy(new Error('x')),
  'res.destroy()': (_q, s) => void s.destroy(),
  'res.destroy(error)': (_q, s) => void s.destroy(new Error('x')),
  'res.socket.end()': (_q, s) => void s.socket!.end(),
  'res.socket.destroySoon()': (_q, s) => void s.socket!.destroySoon(),
  'res.socket.resetAndDestroy()': (_q, s) => void s.socket!.resetAndDestroy(),
  'a pipeline whose source fails': (_q, s) => {
    const source = new Readable({ read() {} })
    pipeline(source, s, () => undefined)
    source.push('more')
    setTimeout(() => source.destroy(new Error('x')), 5)
  },
}
