// Moves files between this process and those of the fleet that keep them: SharedFiles of the queue, and blobs of images.
// What arrives is checked against the digest it must have.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Clock } from '../../runtime/api.ts'
import { type FileContent, FileError, type FileKind, type SharedFiles } from '../queue/shared-files.ts'
import type { FleetMember } from './api.ts'
import type { Members } from './members.ts'
import { DIGEST_HEADER, type FleetSecret, SIGNATURE_HEADER, signatureOf } from './signature.ts'

export interface FleetFilesOptions {
  readonly members: Members
  readonly secret: FleetSecret
  readonly clock: Clock
  /** This process keeps files for itself and others. */
  readonly keeps: boolean
}

/** A connection on which nothing moves for so long is given up. */
const STILL_MS = 15_000

export class FleetFiles implements SharedFiles {
  readonly #options: FleetFilesOptions

  constructor(options: FleetFilesOptions) {
    this.#options = options
  }

  get self(): string {
    return this.#options.members.self
  }

  get keeps(): boolean {
    return this.#options.keeps
  }

  async open(holder: string, kind: FileKind, name: string, content: FileContent): Promise<Readable> {
    const member = this.#options.members.get(holder)
    if (member === undefined) throw new FileError('FILE_AWAY', `process ${holder}, which has it, is away`)
    const incoming = await this.#get(member, `/${kind}/${name}`)
    return checked(incoming, content)
  }

  /** A blob of an image from whoever has it; its reader checks the digest, which is its name. Throws FileError. */
  async blob(digest: string): Promise<Readable> {
    let last = new FileError('FILE_AWAY', 'no other process that keeps files is there')
    for (const member of this.#options.members.keepers(null)) {
      try {
        return await this.#get(member, `/blobs/${digest.replace('sha256:', '')}`)
      } catch (error) {
        last = error as FileError
      }
    }
    throw last
  }

  async give(kind: FileKind, name: string, path: string, content: FileContent, preferred: string | null) {
    let last = new FileError('FILE_AWAY', 'no gateway that keeps results is there')
    for (const member of this.#options.members.keepers(preferred)) {
      try {
        await this.#put(member, `/${kind}/${name}`, path, content)
        return member.id
      } catch (error) {
        last = error as FileError
      }
    }
    throw last
  }

  async remove(holder: string, kind: FileKind, name: string): Promise<void> {
    const member = this.#options.members.get(holder)
    if (member === undefined) return
    try {
      const incoming = await this.#send(member, 'DELETE', `/${kind}/${name}`, null)
      incoming.resume()
    } catch {
      // Its holder removes in time what belongs to no open call.
    }
  }

  async #get(member: FleetMember, path: string): Promise<IncomingMessage> {
    const incoming = await this.#send(member, 'GET', path, null)
    if (incoming.statusCode === 200) return incoming
    throw await refusal(incoming, member)
  }

  async #put(member: FleetMember, path: string, file: string, content: FileContent): Promise<void> {
    const incoming = await this.#send(member, 'PUT', path, { file, content })
    if (incoming.statusCode !== 201) throw await refusal(incoming, member)
    incoming.resume()
  }

  async #send(
    member: FleetMember,
    method: string,
    path: string,
    body: { readonly file: string; readonly content: FileContent } | null,
  ): Promise<IncomingMessage> {
    const { secret, clock } = this.#options
    if (member.filesUrl === null) throw new FileError('FILE_AWAY', `process ${member.id} keeps no files`)
    const sha256 = body?.content.sha256 ?? ''
    const headers = {
      [SIGNATURE_HEADER]: signatureOf(await secret(), method, path, sha256, clock.now()),
      ...(body === null ? {} : { [DIGEST_HEADER]: sha256, 'content-length': String(body.content.bytes) }),
    }
    const url = new URL(path, member.filesUrl)
    return await new Promise((resolve, reject) => {
      const outgoing = request(url, { method, headers, agent: false })
      outgoing.setTimeout(STILL_MS, () => outgoing.destroy(new Error(`nothing moved for ${STILL_MS / 1000} s`)))
      outgoing.on('response', resolve)
      outgoing.on('error', (error) => {
        const where = `${member.filesUrl} of ${member.role} ${member.id} on ${member.hostName}`
        const advice = 'is it an address this machine reaches (FN_FILES_LISTEN there)?'
        reject(new FileError('FILE_AWAY', `${where}: ${error.message}; ${advice}`, { cause: error }))
      })
      if (body === null) outgoing.end()
      else pipeline(createReadStream(body.file), outgoing).catch((error: Error) => outgoing.destroy(error))
    })
  }
}

async function refusal(incoming: IncomingMessage, member: FleetMember): Promise<FileError> {
  const { statusCode } = incoming
  let text = ''
  try {
    for await (const chunk of incoming) text = (text + String(chunk)).slice(0, 300)
  } catch {
    // The status says enough.
  }
  const said = `${member.role} ${member.id} answered ${statusCode}: ${text.trim()}`
  return new FileError(statusCode === 404 ? 'FILE_GONE' : 'FILE_AWAY', said)
}

/** The same bytes; fails at the end unless they are what they must be. */
function checked(source: Readable, content: FileContent): Readable {
  const hash = createHash('sha256')
  let bytes = 0
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      hash.update(chunk)
      done(bytes > content.bytes ? new Error(`more than the ${content.bytes} bytes it must have`) : null, chunk)
    },
    flush(done) {
      const isWhole = bytes === content.bytes && hash.digest('hex') === content.sha256
      done(isWhole ? null : new Error('it arrived with other content than it must have'))
    },
  })
  pipeline(source, check).catch(() => {})
  return check
}
