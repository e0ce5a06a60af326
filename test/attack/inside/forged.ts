// What a function may say on the wire when it writes to descriptor 3 itself instead of returning a Response. Inside a sandbox only.
import { spawn } from 'node:child_process'
import { closeSync, openSync, writeSync } from 'node:fs'
import { encodeCredit, encodeFrame, FLAG, FRAME, writeU32 } from '../../../runtime/protocol/frames.ts'
import { writeHead } from '../../../runtime/protocol/heads.ts'
import { encodeLog } from '../../../runtime/protocol/messages.ts'

const HOST_FD = 3

/** A response's head as a frame, unchecked. */
function head(id: number, text: string, flags: number, body = ''): Buffer {
  const frame = Buffer.alloc(14 + text.length + body.length)
  frame.write(body, writeHead(frame, 0, FRAME.HEAD, id, flags, text, body.length), 'latin1')
  return frame
}

const WHOLE = FLAG.END | FLAG.STARTED | FLAG.IDLE

/** Bytes to write, for the call of that number. */
const FORGED: Readonly<Record<string, (id: number) => Buffer>> = {
  garbage: () => Buffer.from('this is not a frame of the protocol, not at all, and longer than a head'),
  huge: (id) => Buffer.concat([Buffer.of(0xff, 0xff, 0xff, 0xff, FRAME.DATA), Buffer.of(id, 0, 0, 0)]),
  'unknown-type': (id) => encodeFrame(77, id),
  'host-frame': (id) => encodeFrame(FRAME.INVOKE, id, Buffer.alloc(10)),
  'ready-again': () => encodeFrame(FRAME.READY, 0),
  'loaded-again': () => encodeFrame(FRAME.LOADED, 0),
  'cache-unasked': () => encodeFrame(FRAME.DATA, 0, Buffer.from('a code cache nobody asked for')),
  'another-call': (id) => head(id + 1, '200', WHOLE, 'for another call'),
  'call-zero': () => head(0, '200', WHOLE, 'for the sandbox'),
  'far-call': () => head(0xffff_ffff, '200', WHOLE, 'for a call far away'),
  'data-first': (id) => encodeFrame(FRAME.DATA, id, Buffer.from('no head')),
  'end-first': (id) => encodeFrame(FRAME.END, id),
  'idle-first': (id) => encodeFrame(FRAME.IDLE, id),
  'two-heads': (id) => Buffer.concat([head(id, '200', FLAG.STARTED), head(id, '200', 0)]),
  'credit-unasked': (id) => encodeCredit(id, 0x7fff_ffff),
  'fail-of-load': (id) => encodeFrame(FRAME.FAIL, id, Buffer.from('{"code":"LOAD_FAILED","message":"forged"}')),
  'fail-unknown': (id) => encodeFrame(FRAME.FAIL, id, Buffer.from('{"code":"KILLED","message":"forged"}')),
  'fail-no-json': (id) => encodeFrame(FRAME.FAIL, id, Buffer.from('{'.repeat(1000))),
  'exit-alive': () => encodeFrame(FRAME.EXIT, 0, Buffer.from('{"exitCode":0}')),
  'log-stream': (id) => encodeFrame(FRAME.LOG, id, Buffer.from('\u0009text')),
  'log-lines': (id) => encodeLog(id, 'stdout', 'one\ntwo'),
  'log-long': (id) => encodeLog(id, 'stdout', 'x'.repeat(16_385)),
  'wrong-flags': (id) => head(id, '200', 0xff),
  'wrong-length': (id) => {
    const frame = head(id, '200', WHOLE, 'body')
    writeU32(frame, 10, 5000)
    return frame
  },
  'status-switch': (id) => head(id, '101\nupgrade\nwebsocket', WHOLE),
  'status-word': (id) => head(id, '2e2', WHOLE),
  'status-crlf': (id) => head(id, '200\r\nset-cookie: a=b', WHOLE),
  'header-crlf': (id) => head(id, '200\nx-a\nb\r\nset-cookie: a=b\r\n\r\nHTTP/1.1 200 OK', WHOLE),
  'header-name': (id) => head(id, '200\nx-a: b\nc', WHOLE),
  'header-odd': (id) => head(id, '200\nx-a', WHOLE),
  'header-nul': (id) => head(id, '200\nx-a\nb\0c', WHOLE),
}

/** Says it, in the call of this number, and then answers as if nothing had been, or never. */
export function speak(name: string, id: number): Response | Promise<Response> {
  const forged = FORGED[name]
  if (forged !== undefined) {
    writeSync(HOST_FD, forged(id))
    return new Promise(() => undefined)
  }
  return OTHERS[name]!(id)
}

/** Answers of a smuggler: what a front server must make harmless. */
const SMUGGLED: Readonly<Record<string, string>> = {
  'both-lengths': '200\ntransfer-encoding\nchunked\ncontent-length\n4',
  'two-lengths': '200\ncontent-length\n4\ncontent-length\n400',
  'bad-length': '200\ncontent-length\n-4',
  'short-length': '200\ncontent-length\n2',
  'long-length': '200\ncontent-length\n4000',
  'hop-by-hop':
    '200\nconnection\nkeep-alive, x-hop\nkeep-alive\ntimeout=9999\nupgrade\nh2c\ntrailer\nx\nx-hop\n1\nproxy-authenticate\nx',
}

const OTHERS: Readonly<Record<string, (id: number) => Response | Promise<Response>>> = {
  ...Object.fromEntries(
    Object.entries(SMUGGLED).map(([name, text]) => [
      name,
      (id: number) => {
        writeSync(HOST_FD, head(id, text, WHOLE, 'body'))
        return new Promise<Response>(() => undefined)
      },
    ]),
  ),
  /** Two answers: a forged one, then the one it returns. */
  'two-answers': (id) => {
    writeSync(HOST_FD, head(id, '200', WHOLE, 'first'))
    return new Response('second')
  },
  /** A frame for a call that is over. */
  late: (id) => {
    setTimeout(() => writeSync(HOST_FD, encodeFrame(FRAME.DATA, id, Buffer.from('late'))), 30)
    return new Response('in time')
  },
  /** A child that outlives its parent's answer and then speaks. */
  child: (id) => {
    const late = encodeFrame(FRAME.END, id)
    const octal = [...late].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
    const script = `(while [ ! -e /tmp/now ]; do :; done; printf '${octal}' >&3) &`
    spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'ignore', 'ignore', HOST_FD] })
    // When the answer is out: before it, this would be a frame out of order.
    setTimeout(() => closeSync(openSync('/tmp/now', 'w')), 30)
    return new Response('in time')
  },
  closed: () => {
    closeSync(HOST_FD)
    return new Promise(() => undefined)
  },
  /** Headers that are the platform's to say. */
  headers: () =>
    new Response('mine', {
      headers: {
        'Fn-Invocation-Id': 'forged',
        'Fn-Version': '999',
        'Fn-Start': 'forged',
        'Service-Worker-Allowed': '/',
        Connection: 'close, x-dropped',
        'X-Dropped': '1',
        'Transfer-Encoding': 'chunked',
        'X-Kept': 'yes',
      },
    }),
  controls: () => {
    console.log('\u001b]0;owned\u0007\u001b[2J\u001b[31mred\u009b31m\r\b\u202etext')
    writeSync(1, '\u001b[8mhidden\u001b]52;c;cm0gLXJm\u0007\n')
    return new Response('printed')
  },
}
