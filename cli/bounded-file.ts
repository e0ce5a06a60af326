// Reads a file that the user named, up to a bound: a device or a log given by mistake is refused instead of filling the memory.
import { closeSync, openSync, readSync } from 'node:fs'

const PIECE_BYTES = 64 * 1024

/** The file's bytes. Throws node's own error, or an Error that names bound and way out. */
export function readBoundedFile(path: string, mostBytes: number): Buffer {
  const fd = openSync(path, 'r')
  try {
    const pieces: Buffer[] = []
    let bytes = 0
    for (;;) {
      const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, mostBytes + 1 - bytes))
      const read = readSync(fd, piece)
      if (read === 0) return Buffer.concat(pieces)
      pieces.push(piece.subarray(0, read))
      bytes += read
      if (bytes > mostBytes)
        throw Object.assign(new Error(`the file is larger than ${mostBytes} bytes, the most that are taken`), {
          code: `larger than ${mostBytes} bytes`,
        })
    }
  } finally {
    closeSync(fd)
  }
}
