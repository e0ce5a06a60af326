// `linux.resources` of the OCI configuration: what holds from the first instruction of the runtime inside. Pure.
// The rest (quota after load, I/O, reservation, exact v2 weights) is written at attach, where we know the kernel better.
import type { Limits } from '../limits/limits.ts'

/** OCI runtime specification, `linux.resources`. */
export interface OciResources {
  readonly devices: readonly { readonly allow: boolean; readonly access: string }[]
  readonly memory: { readonly limit: number; readonly swap?: number }
  readonly cpu: { readonly shares: number; readonly cpus?: string }
  readonly pids: { readonly limit: number }
}

/** No device but those the OCI runtime always allows; memory, shares, CPUs and tasks from the start.
 *  `swapAccounting` false: the swap limit is left out, since the OCI runtime fails where the kernel has no file for it. */
export function ociResources(limits: Limits, swapAccounting: boolean): OciResources {
  return {
    devices: [{ allow: false, access: 'rwm' }],
    memory: { limit: limits.memory, ...(swapAccounting ? { swap: limits.memorySwap } : {}) },
    cpu: { shares: limits.cpuShares, ...(limits.cpusetCpus === null ? {} : { cpus: limits.cpusetCpus }) },
    pids: { limit: limits.pids },
  }
}
