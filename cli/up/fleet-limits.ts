// Whether limits somebody asked for can be enforced by any worker of the fleet. Pure; the worker that takes the call checks again
// for itself, for it may lack what another has.
import { type HostReport, type LimitSupport, type Limits, RuntimeError } from '../../runtime/api.ts'

/** Throws RuntimeError LIMIT_UNSUPPORTED for what no worker can enforce; passes while there is none to ask. */
export function checkFleetLimits(
  asked: Partial<Limits>,
  machines: readonly Pick<HostReport, 'cores' | 'limits'>[],
): void {
  if (machines.length === 0) return
  const cores = Math.max(...machines.map((machine) => machine.cores))
  if (asked.cpus != null && asked.cpus > cores)
    throw unsupported('cpus', `${asked.cpus}: no worker has more than ${cores} CPUs; ask for 0.01 to ${cores}`)
  for (const [name, value] of Object.entries(asked)) {
    if (value === null || value === undefined || (Array.isArray(value) && value.length === 0)) continue
    if (name === 'memorySwap') continue
    const support = machines.map(({ limits }): LimitSupport | undefined => limits[name])
    const [first] = support
    if (first === undefined || support.some((one) => one?.enforced !== false)) continue
    const fix = first.fix === undefined ? '' : `; ${first.fix}`
    throw unsupported(name, `no worker can enforce it: ${first.how}${fix}`)
  }
}

function unsupported(name: string, message: string): RuntimeError {
  return new RuntimeError('LIMIT_UNSUPPORTED', `${name}: ${message}`)
}
