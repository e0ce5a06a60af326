// Owns the certificate of a running listener: looks now and then whether its files changed, and has the new ones taken for
// connections made from then on. Files that are not right are said in the log, and the old certificate stays.
import { statSync } from 'node:fs'
import type { Clock, Logger } from '../../runtime/api.ts'
import { readTlsFiles, type TlsFiles } from './tls-files.ts'

const LOOK_MS = 30_000

/** What takes a new certificate. */
export type TakeCertificate = (tls: { readonly cert: Buffer; readonly key: Buffer }) => void

export class TlsRenewal {
  readonly #files: TlsFiles
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #take: TakeCertificate
  #seen: string
  #cancel: () => void = () => {}

  constructor(files: TlsFiles, clock: Clock, logger: Logger, take: TakeCertificate) {
    this.#files = files
    this.#clock = clock
    this.#logger = logger
    this.#take = take
    this.#seen = stampOf(files)
    this.#schedule()
  }

  /** Reads the files and takes them, changed or not. Never throws. */
  reload(): void {
    const { certFile } = this.#files
    this.#seen = stampOf(this.#files)
    try {
      this.#take(readTlsFiles(this.#files))
      this.#logger.info({ certFile }, 'the certificate was read anew')
    } catch (error) {
      this.#logger.error({ certFile, reason: (error as Error).message }, 'the new certificate is not taken')
    }
  }

  close(): void {
    this.#cancel()
  }

  #schedule(): void {
    this.#cancel = this.#clock.after(LOOK_MS, () => {
      // One file of a pair may still be on its way: then this fails, and the other's change is seen the next time.
      if (stampOf(this.#files) !== this.#seen) this.reload()
      this.#schedule()
    })
  }
}

/** Differs when either file does; symbolic links are followed, for they are what some renewers turn over. */
function stampOf({ certFile, keyFile }: TlsFiles): string {
  return [certFile, keyFile]
    .map((path) => {
      const file = statSync(path, { throwIfNoEntry: false, bigint: true })
      return file === undefined ? 'none' : `${file.dev}:${file.ino}:${file.size}:${file.mtimeNs}`
    })
    .join(' ')
}
