// A file that the owner of the state directory alone may read, and that is there after a power cut once it was seen.
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** On disk as a whole when it returns, 0600. */
export function writeOwnerFile(path: string, text: string): void {
  const temporary = `${path}.${process.pid}`
  const fd = openSync(temporary, 'w', 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, path)
  // ORDER: the name last; without the folder a power cut takes it back, and with it what others were told.
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
