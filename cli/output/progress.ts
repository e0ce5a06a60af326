// Steps of a longer command on stderr: a terminal sees the running step, everybody sees finished ones.
import type { Style } from './style.ts'

interface Target {
  readonly isTTY?: boolean
  write(text: string): unknown
}

export interface Progress {
  /** Shows what runs now, until the next call. Terminals only. */
  running(what: string): void
  /** A finished step: `bundled  12 kB in 9 ms`. */
  done(step: string, text: string): void
  /** Something the user should know; does not end the running step. */
  warn(text: string): void
  /** Removes the running step's line. */
  clear(): void
}

/** Writes nothing until a method is called. */
export function createProgress(target: Target, style: Style): Progress {
  let shown = ''
  const erase = (): void => {
    if (shown !== '') target.write('\r\x1b[K')
  }
  return {
    running(what) {
      if (target.isTTY !== true) return
      erase()
      shown = style.dim(`${what} …`)
      target.write(shown)
    },
    done(step, text) {
      erase()
      shown = ''
      target.write(`${style.green(step.padEnd(8))} ${text}\n`)
    },
    warn(text) {
      erase()
      target.write(`${style.yellow('warning:')} ${text}\n`)
      if (shown !== '') target.write(shown)
    },
    clear() {
      erase()
      shown = ''
    },
  }
}
