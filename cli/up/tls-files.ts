// Certificate and key of the listener, read and checked before anything is built: a bad file is said with its name and the way out.
import { createSecureContext } from 'node:tls'
import { RuntimeError } from '../../runtime/api.ts'
import { readBoundedFile } from '../bounded-file.ts'

/** A chain of certificates has some kilobytes. */
const MOST_BYTES = 1024 ** 2

export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** Throws RuntimeError HOST_UNSUITABLE. */
export function readTlsFiles({ certFile, keyFile }: TlsFiles): { cert: Buffer; key: Buffer } {
  const cert = read('FN_TLS_CERT', certFile)
  const key = read('FN_TLS_KEY', keyFile)
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    const reason = (error as Error).message.replace(/^error:\w+:/, '')
    throw new RuntimeError(
      'HOST_UNSUITABLE',
      `FN_TLS_CERT ${certFile} and FN_TLS_KEY ${keyFile} are no certificate (PEM, with its chain) and its key (PEM, not encrypted): ${reason}`,
      { cause: error },
    )
  }
  return { cert, key }
}

function read(name: string, path: string): Buffer {
  try {
    return readBoundedFile(path, MOST_BYTES)
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code
    throw new RuntimeError('HOST_UNSUITABLE', `${name}: ${path} cannot be read (${reason})`, { cause: error })
  }
}
