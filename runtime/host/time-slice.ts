// How long a thread runs at a stretch when others want its core. Shares of the CPU are not touched: with a short slice a thread
// that wakes gets a core at once from one with a longer slice, instead of at the next tick of the clock (4 ms at 250 Hz).
import koffi from 'koffi'

const libc = koffi.load('libc.so.6')
const call = {
  getAttributes: libc.func(
    'long syscall(long number, int pid, _Out_ void *attributes, unsigned int size, unsigned int flags)',
  ),
  setAttributes: libc.func('long syscall(long number, int pid, void *attributes, unsigned int flags)'),
}
const NUMBERS = process.arch === 'arm64' ? { set: 274, get: 275 } : { set: 314, get: 315 }

/** struct sched_attr, version 0: size u32, policy u32, flags u64, nice i32, priority u32, runtime u64, deadline u64, period u64. */
const SIZE = 48
const FLAGS_AT = 8
const RUNTIME_AT = 24
const SCHED_OTHER = 0
/** What the thread starts later has the kernel's own slice again. */
const RESET_ON_FORK = 1

export interface TimeSliceOptions {
  /** False: processes and threads it starts from now on have the kernel's own slice. */
  readonly inherited: boolean
}

/** Asks for slices of so many µs (100–100,000; 0: the kernel's own) for the thread `tid`; 0 is the caller's main thread.
 *  False where it is not to be had: kernels before 6.12 know no slices, other policies than SCHED_OTHER have none, the thread is
 *  gone. Source: sched_setattr(2); EEVDF's per-task slices, Linux 6.12. */
export function setTimeSlice(tid: number, us: number, { inherited }: TimeSliceOptions): boolean {
  const attributes = readAttributes(tid)
  if (attributes === null || attributes.readUInt32LE(4) !== SCHED_OTHER) return false
  attributes.writeBigUInt64LE(inherited ? 0n : BigInt(RESET_ON_FORK), FLAGS_AT)
  attributes.writeBigUInt64LE(BigInt(us) * 1000n, RUNTIME_AT)
  return call.setAttributes(NUMBERS.set, tid, attributes, 0) === 0 && (us === 0 || timeSliceUs(tid) === us)
}

/** The slice of the thread, µs, as the kernel tells it; null where it does not. */
export function timeSliceUs(tid: number): number | null {
  const attributes = readAttributes(tid)
  if (attributes === null || attributes.readUInt32LE(4) !== SCHED_OTHER) return null
  const us = Number(attributes.readBigUInt64LE(RUNTIME_AT)) / 1000
  return us === 0 ? null : us
}

function readAttributes(tid: number): Buffer | null {
  const attributes = Buffer.alloc(SIZE)
  return call.getAttributes(NUMBERS.get, tid, attributes, SIZE, 0) === 0 ? attributes : null
}
