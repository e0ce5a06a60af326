// Questions to the resolver over TCP: a connection is answered one question at a time and not read meanwhile, so an answer that is
// not read holds up its own connection and nothing else. Connections, bytes and time of each are bounded.
import { createServer, type Server, type Socket } from 'node:net'
import type { Clock } from '../api.ts'
import { Shares } from '../shares.ts'
import { framed } from './upstream.ts'

export interface NameStreamsOptions {
  readonly clock: Clock
  /** Whose sandbox has this address; null: none has it. */
  readonly groupOf: (address: string) => string | null
  /** Null: not worth an answer, and the connection ends. Never rejects. */
  readonly answer: (message: Buffer, from: string) => Promise<Buffer | null>
}

const IDLE_MS = 10_000
const LIFE_MS = 60_000
const QUESTION_BYTES = 1024
/** Of answers: then the connection ends, and a client that wants more makes another. What is not read lies in the kernel. */
const ANSWER_BYTES = 256 * 1024
const MOST_OF_SANDBOX = 8
const MOST = 256

export class NameStreams {
  readonly #options: NameStreamsOptions
  readonly #server: Server
  readonly #streams = new Set<Socket>()
  readonly #shares = new Shares(MOST)
  readonly #bySandbox = new Map<string, number>()

  constructor(options: NameStreamsOptions) {
    this.#options = options
    this.#server = createServer((socket) => this.#accept(socket))
  }

  /** Connections open now. */
  get open(): number {
    return this.#streams.size
  }

  /** Rejects with node's error when the address cannot be had. */
  async listen(port: number, address: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, address, resolve)
    })
  }

  async close(): Promise<void> {
    for (const stream of this.#streams) stream.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #accept(socket: Socket): void {
    socket.on('error', () => socket.destroy())
    const from = socket.remoteAddress ?? ''
    const leave = this.#admit(from)
    if (leave === null) return void socket.destroy()
    this.#streams.add(socket)
    const end = this.#options.clock.after(LIFE_MS, () => socket.destroy())
    socket.once('close', () => {
      end()
      leave()
      this.#streams.delete(socket)
    })
    // Idle is also who does not read: nothing moves on a connection that waits for it.
    socket.setTimeout(IDLE_MS, () => socket.destroy())
    this.#serve(socket, from)
  }

  #admit(from: string): (() => void) | null {
    const group = this.#options.groupOf(from)
    const before = this.#bySandbox.get(from) ?? 0
    if (group === null || before >= MOST_OF_SANDBOX) return null
    const giveBack = this.#shares.take(group)
    if (giveBack === null) return null
    this.#bySandbox.set(from, before + 1)
    return () => {
      giveBack()
      const left = (this.#bySandbox.get(from) ?? 1) - 1
      if (left === 0) this.#bySandbox.delete(from)
      else this.#bySandbox.set(from, left)
    }
  }

  #serve(socket: Socket, from: string): void {
    let received = Buffer.alloc(0)
    let answeredBytes = 0
    let isOver = false
    const answerAll = async (): Promise<void> => {
      while (received.length >= 2 && !socket.destroyed) {
        const length = received.readUInt16BE(0)
        if (length > QUESTION_BYTES) return void socket.destroy()
        if (received.length < 2 + length) return
        const message = received.subarray(2, 2 + length)
        received = received.subarray(2 + length)
        const answer = await this.#options.answer(message, from)
        if (answer === null) return void socket.destroy()
        answeredBytes += answer.length
        await written(socket, framed(answer))
        isOver = answeredBytes > ANSWER_BYTES
        if (isOver) return void socket.destroySoon()
      }
    }
    socket.on('data', (chunk: Buffer) => {
      socket.pause()
      received = Buffer.concat([received, chunk])
      void answerAll().then(() => {
        if (!isOver) socket.resume()
      })
    })
  }
}

/** Resolves when the kernel has all of it, or the connection is over. */
async function written(socket: Socket, bytes: Buffer): Promise<void> {
  if (socket.destroyed) return
  await new Promise<void>((resolve) => socket.write(bytes, () => resolve()))
}
