// An open loop: calls are due at fixed instants whether or not earlier ones were answered, and latency counts from the instant a
// call was due. So a server that stalls is charged with every call it kept waiting (no coordinated omission). Time is injected.

export interface OpenLoopOptions {
  /** When the first call is due. */
  readonly startMs: number
  readonly ratePerS: number
  readonly durationMs: number
  /** Calls due in this first part are made, but not counted. */
  readonly warmUpMs: number
  /** Calls on the way at once; those due beyond wait here, and their latency goes on counting. */
  readonly connections: number
  readonly now: () => number
  /** Makes one call on the connection; must not reject. */
  readonly call: (connection: number, n: number) => Promise<void>
}

export interface OpenLoopResult {
  /** From the instant a call was due to its answer, ms. */
  readonly samples: readonly number[]
  /** When each of the samples was due, on the clock of `now`. */
  readonly dues: readonly number[]
  /** From the instant a call was due to the one it was sent, where a connection was free: the generator's own delay, ms. */
  readonly lateness: readonly number[]
  /** Counted calls ÷ duration. */
  readonly ratePerS: number
}

export interface OpenLoop {
  /** Sends what is due; call it about as often as calls are due. */
  tick(): void
  /** Resolves when the last call that was due is answered. */
  readonly done: Promise<OpenLoopResult>
}

export function createOpenLoop(options: OpenLoopOptions): OpenLoop {
  const { now, call, startMs, warmUpMs, durationMs, ratePerS } = options
  const firstCounted = Math.round((warmUpMs * ratePerS) / 1000)
  const total = firstCounted + Math.round((durationMs * ratePerS) / 1000)
  const dueAt = (n: number) => startMs + (n * 1000) / ratePerS
  const free = Array.from({ length: options.connections }, (_, index) => options.connections - 1 - index)
  const samples: number[] = []
  const dues: number[] = []
  const lateness: number[] = []
  let sent = 0
  let answered = 0
  let finish: (result: OpenLoopResult) => void = () => {}
  const done = new Promise<OpenLoopResult>((resolve) => {
    finish = resolve
  })

  const send = (connection: number, mayBeLate: boolean): void => {
    const n = sent++
    const due = dueAt(n)
    const counts = n >= firstCounted
    if (counts && mayBeLate) lateness.push(now() - due)
    void call(connection, n).then(() => {
      if (counts) {
        samples.push(now() - due)
        dues.push(due)
      }
      answered++
      if (answered === total) finish({ samples, dues, lateness, ratePerS: (samples.length * 1000) / durationMs })
      // A call that fell due meanwhile had to wait for this connection: that is the server's delay, not the generator's.
      else if (sent < total && dueAt(sent) <= now()) send(connection, false)
      else free.push(connection)
    })
  }
  if (total === 0) finish({ samples, dues, lateness, ratePerS: 0 })
  return {
    tick: () => {
      while (sent < total && dueAt(sent) <= now()) {
        const connection = free.pop()
        if (connection === undefined) return
        send(connection, true)
      }
    },
    done,
  }
}
