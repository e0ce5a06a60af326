// Stands between a client and its Redis and does harm to single commands: refused, the request lost, the answer lost, delayed. It
// reads both sides' protocol (RESP2 and RESP3), so that it hits exactly one command and everything before it is answered.
import { rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'

export type CommandFault =
  /** never sent on; this error is the answer */
  | { readonly kind: 'refused'; readonly error: string }
  /** the connection is cut before it is sent on */
  | { readonly kind: 'lost request' }
  /** the connection is cut once it was executed */
  | { readonly kind: 'lost answer' }
  /** it is executed at once, and answered later */
  | { readonly kind: 'delayed'; readonly ms: number }

export interface RedisProxy {
  /** Connections that are open now. */
  readonly connections: number
  /** Cuts all connections, closes. */
  close(): Promise<void>
}

interface ProxyOptions {
  /** Where it listens; the server's socket. */
  readonly socketPath: string
  readonly target: string
  /** Told of each command as its words (those of more than 64 kB cut); null: it passes. */
  readonly judge: (words: readonly string[]) => CommandFault | null
}

type Owed = { readonly delayMs: number } | { readonly error: string } | 'cut when answered' | 'cut'

const NEWLINE = 0x0a
const WORD_MAX = 64 * 1024
/** Passed on as it is from then on: what the server sends is no answer to anything. */
const FREE = new Set(['SUBSCRIBE', 'PSUBSCRIBE', 'MONITOR'])

export async function openRedisProxy(options: ProxyOptions): Promise<RedisProxy> {
  const open = new Set<Connection>()
  rmSync(options.socketPath, { force: true })
  const server: Server = createServer((socket) => {
    const connection = new Connection(socket, options, () => open.delete(connection))
    open.add(connection)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.socketPath, resolve)
  })
  return {
    get connections() {
      return open.size
    },
    async close() {
      for (const connection of open) connection.cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

class Connection {
  readonly #client: Socket
  readonly #server: Socket
  readonly #options: ProxyOptions
  /** What the client waits for, oldest first. */
  readonly #owed: Owed[] = []
  #asked: Buffer = Buffer.alloc(0)
  #answered: Buffer = Buffer.alloc(0)
  #free = false
  #over = false
  #waiting = false

  constructor(client: Socket, options: ProxyOptions, gone: () => void) {
    this.#client = client
    this.#options = options
    this.#server = connect(options.target)
    for (const socket of [client, this.#server]) {
      socket.on('error', () => this.cut())
      socket.on('close', () => {
        this.cut()
        gone()
      })
    }
    client.on('data', (bytes) => this.#fromClient(bytes))
    this.#server.on('data', (bytes) => this.#fromServer(bytes))
  }

  cut(): void {
    this.#over = true
    this.#client.destroy()
    this.#server.destroy()
  }

  #fromClient(bytes: Buffer): void {
    if (this.#over) return
    if (this.#free) return void this.#server.write(bytes)
    this.#asked = this.#asked.length === 0 ? bytes : Buffer.concat([this.#asked, bytes])
    while (!this.#over && !this.#free) {
      const request = readRequest(this.#asked)
      if (request === null) return
      const raw = this.#asked.subarray(0, request.end)
      this.#asked = this.#asked.subarray(request.end)
      this.#ask(request.words, raw)
    }
    if (this.#free && this.#asked.length > 0) this.#server.write(this.#asked)
  }

  #ask(words: readonly string[], raw: Buffer): void {
    const fault = this.#options.judge(words)
    if (FREE.has(words[0]?.toUpperCase() ?? '')) this.#free = true
    if (fault?.kind === 'refused') this.#owed.push({ error: fault.error })
    else if (fault?.kind === 'lost request') {
      this.#owed.push('cut')
      this.#asked = Buffer.alloc(0)
    } else {
      this.#owed.push(
        fault === null ? { delayMs: 0 } : fault.kind === 'delayed' ? { delayMs: fault.ms } : 'cut when answered',
      )
      this.#server.write(raw)
    }
    this.#pay()
  }

  #fromServer(bytes: Buffer): void {
    if (this.#over) return
    if (this.#free && this.#answered.length === 0 && this.#owed.length <= 1) return void this.#client.write(bytes)
    this.#answered = this.#answered.length === 0 ? bytes : Buffer.concat([this.#answered, bytes])
    this.#pay()
  }

  #pay(): void {
    while (!this.#waiting && !this.#over) {
      const owed = this.#owed[0]
      if (owed === undefined) return
      if (owed === 'cut') {
        this.cut()
        return
      }
      if (typeof owed === 'object' && 'error' in owed) {
        this.#owed.shift()
        this.#client.write(`-${owed.error}\r\n`)
        continue
      }
      const end = endOfValue(this.#answered, 0)
      if (end === null) return
      const answer = this.#answered.subarray(0, end)
      this.#answered = this.#answered.subarray(end)
      this.#owed.shift()
      if (owed === 'cut when answered') {
        this.cut()
        return
      }
      if (owed.delayMs === 0) this.#client.write(answer)
      else this.#later(answer, owed.delayMs)
    }
  }

  #later(answer: Buffer, ms: number): void {
    this.#waiting = true
    setTimeout(() => {
      this.#waiting = false
      if (!this.#over) this.#client.write(answer)
      this.#pay()
    }, ms)
  }
}

/** One command: an array of bulk strings, as every client library sends them. null: it is not whole yet. */
function readRequest(bytes: Buffer): { readonly words: string[]; readonly end: number } | null {
  const line = endOfLine(bytes, 0)
  if (line === null) return null
  if (bytes[0] !== 0x2a) return { words: bytes.toString('latin1', 0, line).trim().split(' '), end: line }
  const count = Number(bytes.toString('latin1', 1, line - 2))
  const words: string[] = []
  let at = line
  for (let i = 0; i < count; i++) {
    const head = endOfLine(bytes, at)
    if (head === null) return null
    const length = Number(bytes.toString('latin1', at + 1, head - 2))
    if (bytes.length < head + length + 2) return null
    words.push(bytes.toString('utf8', head, head + Math.min(length, WORD_MAX)))
    at = head + length + 2
  }
  return { words, end: at }
}

/** Where the value that begins at `from` ends; null: it is not whole yet. */
function endOfValue(bytes: Buffer, from: number): number | null {
  const line = endOfLine(bytes, from)
  if (line === null) return null
  const type = String.fromCharCode(bytes[from]!)
  const count = Number(bytes.toString('latin1', from + 1, line - 2))
  if ('$=!'.includes(type)) return count < 0 ? line : bytes.length >= line + count + 2 ? line + count + 2 : null
  if (!'*~>%|'.includes(type)) return line
  const values = type === '%' || type === '|' ? 2 * count : count
  let at: number | null = line
  for (let i = 0; i < values && at !== null; i++) at = endOfValue(bytes, at)
  // Attributes stand before the value they are about.
  return type === '|' && at !== null ? endOfValue(bytes, at) : at
}

function endOfLine(bytes: Buffer, from: number): number | null {
  const at = bytes.indexOf(NEWLINE, from)
  return at === -1 ? null : at + 1
}
