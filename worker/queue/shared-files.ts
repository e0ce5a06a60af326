// Where bodies and results over 64 KiB lie when several processes share a Redis: with those that keep files (gateways), named by
// the process and the file, so that workers may come and go. What moves them is worker/fleet/'s.
import type { Readable } from 'node:stream'

export type FileKind = 'bodies' | 'results'

/** What a file must turn out to be. */
export interface FileContent {
  readonly bytes: number
  /** Hex. */
  readonly sha256: string
}

export type FileErrorCode =
  /** its holder answered: there is no such file */
  | 'FILE_GONE'
  /** its holder cannot be reached now, or nobody keeps files */
  | 'FILE_AWAY'

export class FileError extends Error {
  readonly code: FileErrorCode
  constructor(code: FileErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.name = 'FileError'
    this.code = code
  }
}

export interface SharedFiles {
  /** This process, as the others know it. */
  readonly self: string
  /** Whether this process keeps files for itself and others. */
  readonly keeps: boolean
  /** The bytes; a stream that fails at its end when they are not what they must be. Throws FileError. */
  open(holder: string, kind: FileKind, name: string, content: FileContent): Promise<Readable>
  /** Copies a file to a process that keeps files, `preferred` if it can be reached. On disk there when it resolves, to who
   *  holds it now. Throws FileError FILE_AWAY. */
  give(kind: FileKind, name: string, path: string, content: FileContent, preferred: string | null): Promise<string>
  /** Never rejects. */
  remove(holder: string, kind: FileKind, name: string): Promise<void>
}
