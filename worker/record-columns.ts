// Records of finished calls as columns of numbers and references: ten thousand records as objects of their own cost every call
// 3 µs, because the garbage collector copies each of them twice. Only packs and unpacks; which records are kept is records.ts.
import type { Limits, Metering, Usage } from '../runtime/api.ts'
import type { InvocationFailure, InvocationRecord, InvocationState, StartKind } from './api.ts'
import { isoTime } from './iso-time.ts'

/** Instants of a record, wall ms; NaN where the record has null. */
export interface RecordInstants {
  readonly createdAtMs: number
  readonly startedAtMs: number
  readonly endedAtMs: number
}

/** Where in a row a figure lies: record, then metering, then what of it is unshared. */
const METERING_AT = 12
const UNSHARED_AT = METERING_AT + 18
const WIDTH = UNSHARED_AT + 9
const HAS = { metering: 1, exact: 2, unshared: 4 } as const

/** `capacity` rows, each empty or one record. */
export class RecordColumns {
  readonly #numbers: Float64Array
  readonly #flags: Uint8Array
  readonly #ids: (string | undefined)[]
  readonly #namespaces: string[]
  readonly #functions: string[]
  readonly #states: InvocationState[]
  readonly #starts: (StartKind | null)[]
  readonly #errors: (InvocationFailure | null)[]
  readonly #limits: Limits[]
  readonly #sinceStart: Metering['sinceStart'][]
  readonly #afterAnswers: (InvocationFailure | undefined)[]

  constructor(capacity: number) {
    this.#numbers = new Float64Array(capacity * WIDTH)
    this.#flags = new Uint8Array(capacity)
    this.#ids = new Array(capacity)
    this.#namespaces = new Array(capacity)
    this.#functions = new Array(capacity)
    this.#states = new Array(capacity)
    this.#starts = new Array(capacity)
    this.#errors = new Array(capacity)
    this.#limits = new Array(capacity)
    this.#sinceStart = new Array(capacity)
    this.#afterAnswers = new Array(capacity)
  }

  idAt(row: number): string | undefined {
    return this.#ids[row]
  }

  namespaceAt(row: number): string {
    return this.#namespaces[row]!
  }

  functionAt(row: number): string {
    return this.#functions[row]!
  }

  stateAt(row: number): InvocationState {
    return this.#states[row]!
  }

  createdAtMs(row: number): number {
    return this.#numbers[row * WIDTH + 3]!
  }

  set(row: number, record: InvocationRecord, { createdAtMs, startedAtMs, endedAtMs }: RecordInstants): void {
    this.#ids[row] = record.id
    this.#namespaces[row] = record.namespace
    this.#functions[row] = record.function
    this.#states[row] = record.state
    this.#starts[row] = record.start
    this.#errors[row] = record.error
    this.#afterAnswers[row] = record.afterAnswer
    this.#limits[row] = record.limits
    const numbers = this.#numbers
    const at = row * WIDTH
    numbers[at] = record.version
    numbers[at + 1] = record.attempt
    numbers[at + 2] = record.status ?? Number.NaN
    numbers[at + 3] = createdAtMs
    numbers[at + 4] = startedAtMs
    numbers[at + 5] = endedAtMs
    numbers[at + 6] = record.queueMs
    numbers[at + 7] = record.startMs
    numbers[at + 8] = record.thawMs
    numbers[at + 9] = record.initMs
    numbers[at + 10] = record.runMs
    this.#flags[row] = this.#setMetering(row, record.metering)
  }

  /** What went wrong when the answer of this row's call had ended; the first one counts. */
  setAfterAnswer(row: number, failure: InvocationFailure): void {
    this.#afterAnswers[row] ??= failure
  }

  /** The record of a row that is not empty. */
  get(row: number): InvocationRecord {
    const numbers = this.#numbers
    const afterAnswer = this.#afterAnswers[row]
    const at = row * WIDTH
    return {
      id: this.#ids[row]!,
      namespace: this.#namespaces[row]!,
      function: this.#functions[row]!,
      version: numbers[at]!,
      state: this.#states[row]!,
      attempt: numbers[at + 1]!,
      start: this.#starts[row]!,
      status: orNull(numbers[at + 2]!),
      error: this.#errors[row]!,
      createdAt: isoTime(numbers[at + 3]!),
      startedAt: timeOrNull(numbers[at + 4]!),
      endedAt: timeOrNull(numbers[at + 5]!),
      queueMs: numbers[at + 6]!,
      startMs: numbers[at + 7]!,
      thawMs: numbers[at + 8]!,
      initMs: numbers[at + 9]!,
      runMs: numbers[at + 10]!,
      limits: this.#limits[row]!,
      metering: this.#meteringAt(row),
      ...(afterAnswer === undefined ? {} : { afterAnswer }),
    }
  }

  /** Returns the row's flags. */
  #setMetering(row: number, metering: Metering | null): number {
    this.#sinceStart[row] = metering?.sinceStart
    if (metering === null) return 0
    const numbers = this.#numbers
    const at = row * WIDTH + METERING_AT
    setUsage(numbers, at, metering)
    numbers[at + 9] = metering.memoryPeakBytes
    numbers[at + 10] = metering.memoryBytes
    numbers[at + 11] = metering.swapPeakBytes ?? Number.NaN
    numbers[at + 12] = metering.netRxBytes
    numbers[at + 13] = metering.netTxBytes
    numbers[at + 14] = metering.tasksPeak ?? Number.NaN
    numbers[at + 15] = metering.freezeUs
    numbers[at + 16] = metering.thawUs
    numbers[at + 17] = metering.idleCpuUs
    const { unshared } = metering
    if (unshared !== undefined) setUsage(numbers, row * WIDTH + UNSHARED_AT, unshared)
    return HAS.metering | (metering.exact ? HAS.exact : 0) | (unshared === undefined ? 0 : HAS.unshared)
  }

  #meteringAt(row: number): Metering | null {
    const flags = this.#flags[row]!
    if ((flags & HAS.metering) === 0) return null
    const numbers = this.#numbers
    const at = row * WIDTH + METERING_AT
    const sinceStart = this.#sinceStart[row]
    return {
      exact: (flags & HAS.exact) !== 0,
      ...usageAt(numbers, at),
      memoryPeakBytes: numbers[at + 9]!,
      memoryBytes: numbers[at + 10]!,
      swapPeakBytes: orNull(numbers[at + 11]!),
      netRxBytes: numbers[at + 12]!,
      netTxBytes: numbers[at + 13]!,
      tasksPeak: orNull(numbers[at + 14]!),
      freezeUs: numbers[at + 15]!,
      thawUs: numbers[at + 16]!,
      idleCpuUs: numbers[at + 17]!,
      ...(sinceStart === undefined ? {} : { sinceStart }),
      ...((flags & HAS.unshared) === 0 ? {} : { unshared: usageAt(numbers, row * WIDTH + UNSHARED_AT) }),
    }
  }
}

function setUsage(numbers: Float64Array, at: number, usage: Usage): void {
  numbers[at] = usage.cpuUserUs
  numbers[at + 1] = usage.cpuSystemUs
  numbers[at + 2] = usage.throttledUs
  numbers[at + 3] = usage.ioReadBytes
  numbers[at + 4] = usage.ioWriteBytes
  numbers[at + 5] = usage.ioReadOps
  numbers[at + 6] = usage.ioWriteOps
  numbers[at + 7] = usage.oomKills
  numbers[at + 8] = usage.pageFaults
}

function usageAt(numbers: Float64Array, at: number): Usage {
  return {
    cpuUserUs: numbers[at]!,
    cpuSystemUs: numbers[at + 1]!,
    throttledUs: numbers[at + 2]!,
    ioReadBytes: numbers[at + 3]!,
    ioWriteBytes: numbers[at + 4]!,
    ioReadOps: numbers[at + 5]!,
    ioWriteOps: numbers[at + 6]!,
    oomKills: numbers[at + 7]!,
    pageFaults: numbers[at + 8]!,
  }
}

function orNull(value: number): number | null {
  return Number.isNaN(value) ? null : value
}

function timeOrNull(wallMs: number): string | null {
  return Number.isNaN(wallMs) ? null : isoTime(wallMs)
}
