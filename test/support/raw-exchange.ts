// One raw exchange with an HTTP server: bytes out, and every answer that came back, taken apart strictly. Knows nothing of what
// is asked.
import { Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  readonly body: string
}

export interface RawExchange {
  readonly answers: readonly RawAnswer[]
  /** Bytes behind the last whole answer. */
  readonly rest: string
  /** The server did not end the connection in time. */
  readonly hung: boolean
}

const DEADLINE_MS = 20_000

/** Sends `bytes`; then ends its side (`cut`), or sends `sentinel` when the first answer is there and the connection still open,
 *  and waits for the end. */
export function exchange(port: number, bytes: Buffer, cut: boolean, sentinel: string): Promise<RawExchange> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let asked = false
    let hung = false
    const socket = new Socket({ allowHalfOpen: true })
    socket.connect({ host: '127.0.0.1', port }, () => {
      if (cut) socket.end(bytes)
      else socket.write(bytes)
    })
    const timer = setTimeout(() => {
      hung = true
      socket.destroy()
    }, DEADLINE_MS)
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      if (cut || asked || takeAnswers(Buffer.concat(chunks).toString('latin1')).answers.length === 0) return
      asked = true
      // Later, so that an end that comes with the answer is seen first.
      setImmediate(() => {
        if (socket.readableEnded) socket.end()
        else socket.end(sentinel)
      })
    })
    socket.on('end', () => socket.end())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      clearTimeout(timer)
      resolve({ ...takeAnswers(Buffer.concat(chunks).toString('latin1')), hung })
    })
  })
}

/** Whole final answers at the front of the text; interim ones are skipped. */
function takeAnswers(text: string): { answers: RawAnswer[]; rest: string } {
  const answers: RawAnswer[] = []
  let rest = text
  for (;;) {
    const head = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n:]+: [^\r\n]*\r\n)*)\r\n/.exec(rest)
    if (head === null) return { answers, rest }
    const status = Number(head[1])
    const length = Number(/^content-length: (\d+)\r$/im.exec(head[2]!)?.[1] ?? 0)
    const after = rest.slice(head[0].length)
    const body = /^transfer-encoding: chunked\r$/im.test(head[2]!) ? chunkedBody(after) : wholeBody(after, length)
    if (body === null) return { answers, rest }
    rest = after.slice(body.taken)
    if (status >= 200) answers.push({ status, body: body.text })
  }
}

function wholeBody(text: string, length: number): { text: string; taken: number } | null {
  return text.length < length ? null : { text: text.slice(0, length), taken: length }
}

function chunkedBody(text: string): { text: string; taken: number } | null {
  let at = 0
  let body = ''
  for (;;) {
    const size = /^([0-9a-f]+)\r\n/i.exec(text.slice(at, at + 20))
    if (size === null) return null
    const length = Number.parseInt(size[1]!, 16)
    at += size[0].length
    if (text.length < at + length + 2) return null
    body += text.slice(at, at + length)
    at += length + 2
    if (length === 0) return { text: body, taken: at }
  }
}
