// The one error class of cli/: a stable code, a sentence, what to do about it, and the exit status of the process.

export type CliErrorCode =
  /** the command line itself is wrong */
  | 'USAGE'
  /** a file or folder that was named is not there or cannot be read */
  | 'FILE_NOT_FOUND'
  /** a folder without an entry file */
  | 'ENTRY_NOT_FOUND'
  /** `fn.json` does not parse, or a value of it is of the wrong kind */
  | 'MANIFEST_INVALID'
  /** the name of the function is not a DNS label */
  | 'NAME_INVALID'
  /** syntax error, unresolved import, top-level await */
  | 'BUNDLE_FAILED'
  /** the entry exports nothing that can be called */
  | 'NO_HANDLER'
  /** `--check` found type errors */
  | 'TYPE_CHECK_FAILED'
  /** nothing listens where the platform should be */
  | 'PLATFORM_UNREACHABLE'
  /** the platform answered with a problem */
  | 'PROBLEM'
  /** the function itself failed */
  | 'FUNCTION_FAILED'

/** Exit statuses of `fn`: done, failed, wrong usage, the function failed. */
export const EXIT = Object.freeze({ done: 0, failed: 1, usage: 2, functionFailed: 3 })

export interface CliErrorOptions {
  readonly cause?: unknown
  /** Longer text below the sentence, as it is: code frames, stacks. */
  readonly details?: string
  /** What to do next, one sentence or command each. */
  readonly hints?: readonly string[]
}

/** Thrown by everything in cli/ for what the user can act on; anything else is a bug of ours. */
export class CliError extends Error {
  readonly code: CliErrorCode
  readonly details: string | null
  readonly hints: readonly string[]
  constructor(code: CliErrorCode, message: string, options: CliErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'CliError'
    this.code = code
    this.details = options.details ?? null
    this.hints = options.hints ?? []
  }

  /** The exit status this error ends the process with. */
  get exitCode(): number {
    if (this.code === 'USAGE') return EXIT.usage
    return this.code === 'FUNCTION_FAILED' ? EXIT.functionFailed : EXIT.failed
  }
}
