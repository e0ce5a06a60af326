// What the kernel says of the loop's thread while it does not move: where it stands, and whether its memory is being brought back.
// Only reads; asked only once the loop is suspected.
import { readFileSync } from 'node:fs'

/** Where a thread stands. */
export interface Standing {
  /** First argument of the system call it is in, where that may be a descriptor; null: it runs, or the kernel does not tell. */
  readonly descriptor: number | null
  /** It waits outside of any system call: for a page of its memory. */
  readonly isFaulting: boolean
}

const NOWHERE: Standing = { descriptor: null, isFaulting: false }
const MOST_DESCRIPTORS = 2 ** 22

/** Text of /proc/<pid>/task/<tid>/syscall (proc(5)): `running`, `-1 <sp> <pc>`, or a number and six arguments. */
export function parseStanding(text: string): Standing {
  const [number, first] = text.trim().split(' ')
  if (number === '-1') return { descriptor: null, isFaulting: true }
  if (number === undefined || !/^\d+$/.test(number) || first === undefined) return NOWHERE
  const value = Number(first)
  const isDescriptor = Number.isSafeInteger(value) && value >= 0 && value < MOST_DESCRIPTORS
  return { descriptor: isDescriptor ? value : null, isFaulting: false }
}

/** Page faults that needed a disk: the 12th field of /proc/<pid>/stat (proc(5)); the second, a name, may hold anything. */
export function parseMajorFaults(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const faults = Number(fields[9])
  return Number.isSafeInteger(faults) ? faults : 0
}

/** Whether the process is traced (ptrace: strace, gdb), by the text of /proc/<pid>/status. */
export function isTraced(status: string): boolean {
  return /^TracerPid:\t[1-9]/m.test(status)
}

export interface TaskState extends Standing {
  readonly majorFaults: number
  readonly isTraced: boolean
}

/** The main thread of this process as it is now; what the kernel does not say is left empty. */
export function readTask(pid: number): TaskState {
  const read = (name: string): string => {
    try {
      return readFileSync(`/proc/${pid}/task/${pid}/${name}`, 'latin1')
    } catch {
      return ''
    }
  }
  return {
    ...parseStanding(read('syscall')),
    majorFaults: parseMajorFaults(read('stat')),
    isTraced: isTraced(read('status')),
  }
}
