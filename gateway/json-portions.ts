// Answers JSON that may be large, without standing the event loop for it: it is made and sent in portions, the next one when the
// reader took the one before. What is small is sent as it always was. Knows nothing of what is in it.
import { setImmediate as turn } from 'node:timers/promises'
import type { ControlContext } from './routes/route.ts'

/** A portion, characters. Texts of one value are not cut. */
const PORTION_CHARS = 64 * 1024
/** Levels that are taken apart: a list, what is in it, a list in that, what is in it. Deeper ones are small. */
const LEVELS = 4

/** As `context.json(value)`. */
export function answerJson(context: ControlContext, value: unknown): Response {
  const portions = portionsOf(value)
  const first = portions.next().value ?? ''
  const second = portions.next()
  context.header('Content-Type', 'application/json')
  if (second.done) return context.body(first)
  const encoder = new TextEncoder()
  const waiting = [first, second.value]
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // Other calls have their turn between two portions.
        await turn()
        const text = waiting.shift() ?? portions.next().value
        if (text === undefined) controller.close()
        else controller.enqueue(encoder.encode(text))
      },
    },
    { highWaterMark: 1 },
  )
  return context.body(stream)
}

/** The JSON of a value, cut between its parts. */
export function* portionsOf(value: unknown): Generator<string, undefined> {
  let portion = ''
  for (const piece of piecesOf(value, LEVELS)) {
    portion += piece
    if (portion.length < PORTION_CHARS) continue
    yield portion
    portion = ''
  }
  if (portion !== '') yield portion
}

function* piecesOf(value: unknown, levels: number): Generator<string> {
  if (levels === 0 || typeof value !== 'object' || value === null) {
    yield JSON.stringify(value) ?? 'null'
    return
  }
  const isList = Array.isArray(value)
  const parts = isList ? value.entries() : Object.entries(value).filter(([, part]) => part !== undefined)
  let separator = isList ? '[' : '{'
  for (const [key, part] of parts) {
    yield isList ? separator : `${separator}${JSON.stringify(key)}:`
    yield* piecesOf(part, levels - 1)
    separator = ','
  }
  yield separator === ',' ? (isList ? ']' : '}') : isList ? '[]' : '{}'
}
