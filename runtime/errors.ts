// The one error class of runtime/: a stable code, a sentence, and the fault from inside where there is one.
import type { Fault } from './api.ts'

export type RuntimeErrorCode =
  /** a syscall, mount, cgroup write or the OCI runtime failed while creating a sandbox */
  | 'CREATE_FAILED'
  /** the sandbox process never said READY */
  | 'BOOT_TIMEOUT'
  /** the code threw at load or exports no handler */
  | 'LOAD_FAILED'
  /** the code did not finish loading in time */
  | 'LOAD_TIMEOUT'
  /** the sandbox ended before or during the operation */
  | 'SANDBOX_STOPPED'
  /** an illegal state transition was asked for */
  | 'SANDBOX_STATE'
  /** the kernel did not confirm the freeze in time, after retries */
  | 'FREEZE_FAILED'
  /** this host cannot enforce a limit that was asked for */
  | 'LIMIT_UNSUPPORTED'
  /** the kernel refused a limit (path, expected, actual in the message) */
  | 'LIMIT_WRITE'
  /** no image with that digest */
  | 'IMAGE_NOT_FOUND'
  /** a stored blob does not match its digest */
  | 'IMAGE_CORRUPT'
  /** the parts are not a valid image (tar members, sizes) */
  | 'IMAGE_INVALID'
  /** ENOSPC or EDQUOT while writing state */
  | 'DISK_FULL'
  /** this host lacks something the platform needs (root, cgroups, OCI runtime) */
  | 'HOST_UNSUITABLE'
  /** no volume of that id */
  | 'VOLUME_NOT_FOUND'
  /** there is one of that id, with another size */
  | 'VOLUME_EXISTS'
  /** a sandbox has it */
  | 'VOLUME_IN_USE'
  /** an id, size or host folder that cannot be a volume */
  | 'VOLUME_INVALID'
  /** this host gives sandboxes no network (programs, kernel, addresses) */
  | 'NETWORK_UNAVAILABLE'
  /** a kind of network, or an address, that only an administrator can allow */
  | 'NETWORK_REFUSED'
  /** another live process holds the state directory */
  | 'STATE_LOCKED'
  /** The state directory is a copy of one that a platform uses now. */
  | 'STATE_COPIED'

export class RuntimeError extends Error {
  readonly code: RuntimeErrorCode
  readonly fault: Fault | null
  constructor(code: RuntimeErrorCode, message: string, options: { cause?: unknown; fault?: Fault } = {}) {
    super(message, options)
    this.name = 'RuntimeError'
    this.code = code
    this.fault = options.fault ?? null
  }
}
