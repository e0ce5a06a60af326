// Gives files to other processes of the fleet and takes results from them: blobs of images, bodies and results over 64 KiB.
// A listener of its own, apart from the one functions are called by; every request is signed.
//
//   GET    /blobs/<hex>      a blob of the image layout         GET, DELETE  /bodies/<id>
//   GET, DELETE, PUT  /results/<id>-<attempt>                   PUT: 201 when it is on disk under this name
import { createReadStream } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Clock, ImageStore, Logger } from '../../runtime/api.ts'
import { DurableFile } from '../queue/files.ts'
import { DIGEST_HEADER, type FleetSecret, isSigned, SIGNATURE_HEADER } from './signature.ts'

export interface FileServerOptions {
  readonly listen: { readonly host: string; readonly port: number }
  readonly stateDir: string
  readonly images: Pick<ImageStore, 'blobFile'>
  readonly secret: FleetSecret
  readonly clock: Clock
  readonly logger: Logger
}

export interface FileServer {
  /** As others reach it. */
  readonly url: string
  close(): Promise<void>
}

const PATH = /^\/(?:blobs\/([0-9a-f]{64})|(bodies|results)\/([0-9a-f-]{36}(?:-\d{1,9})?))$/
/** What an asynchronous call may answer at most. */
const MOST_BYTES = 100 * 1024 ** 2

/** Listens. Rejects with node's own error when it cannot. */
export async function createFileServer(options: FileServerOptions): Promise<FileServer> {
  const server = createServer((incoming, outgoing) => {
    answer(incoming, outgoing, options).catch((error: Error) => {
      options.logger.debug({ reason: error.message, path: incoming.url }, 'a file could not be given')
      if (outgoing.headersSent) outgoing.destroy()
      else say(outgoing, (error as NodeJS.ErrnoException).code === 'ENOSPC' ? 507 : 500, error.message)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.listen.port, options.listen.host, resolve)
  })
  return {
    url: urlOf(server, options.listen.host),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(incoming: IncomingMessage, outgoing: ServerResponse, options: FileServerOptions): Promise<void> {
  const { method = '', url = '' } = incoming
  const sha256 = textOf(incoming, DIGEST_HEADER)
  const signature = textOf(incoming, SIGNATURE_HEADER)
  if (!isSigned(await options.secret(), method, url, sha256, signature, options.clock.now()))
    return say(outgoing, 401, 'not signed with the secret of this fleet, or the clocks differ by more than 5 min')
  const [, blob, kind, name] = PATH.exec(url) ?? []
  if (blob === undefined && kind === undefined) return say(outgoing, 404, 'no such file')
  const path = blob !== undefined ? options.images.blobFile(`sha256:${blob}`) : join(options.stateDir, kind!, name!)
  if (method === 'GET') await give(path, outgoing)
  else if (method === 'PUT' && kind === 'results')
    await take(incoming, outgoing, join(options.stateDir, kind), name!, sha256)
  else if (method === 'DELETE' && kind !== undefined) {
    await rm(path, { force: true })
    outgoing.writeHead(204).end()
  } else say(outgoing, 405, `${method} is not for this`)
}

async function give(path: string, outgoing: ServerResponse): Promise<void> {
  const found = await stat(path).catch(() => null)
  if (found === null || !found.isFile()) return say(outgoing, 404, 'no such file')
  outgoing.writeHead(200, { 'content-length': found.size, 'content-type': 'application/octet-stream' })
  try {
    await pipeline(createReadStream(path), outgoing)
  } catch (error) {
    // Whoever has all it wanted may be gone before we notice.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  }
}

async function take(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  folder: string,
  name: string,
  sha256: string,
): Promise<void> {
  const file = await DurableFile.create(folder)
  try {
    for await (const chunk of incoming) {
      if (file.bytes + (chunk as Buffer).length > MOST_BYTES) throw new Error(`more than ${MOST_BYTES} bytes`)
      await file.write(chunk as Buffer)
    }
    if (file.sha256() !== sha256) throw new Error('it arrived with other content than was sent')
    await file.commit(name)
  } catch (error) {
    await file.discard()
    throw error
  }
  outgoing.writeHead(201).end()
}

function textOf(incoming: IncomingMessage, name: string): string {
  const value = incoming.headers[name]
  return typeof value === 'string' ? value : ''
}

function say(outgoing: ServerResponse, status: number, text: string): void {
  outgoing.writeHead(status, { 'content-type': 'text/plain', connection: 'close' })
  outgoing.end(`${text}\n`)
}

function urlOf(server: Server, listenHost: string): string {
  const { port } = server.address() as AddressInfo
  const isAny = listenHost === '0.0.0.0' || listenHost === '::'
  const host = isAny ? (outwardAddress() ?? '127.0.0.1') : listenHost
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

function outwardAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return all.find(({ internal, family }) => !internal && family === 'IPv4')?.address
}
