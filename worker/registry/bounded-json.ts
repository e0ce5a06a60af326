// JSON from outside, bounded before it is parsed: deeply nested documents cost the stack of whatever walks them afterwards. Pure.

/** Deepest nesting of any document that is taken. */
export const MOST_JSON_DEPTH = 32

/** A document above its bound; the message names bound, value and way out. */
export class JsonBoundError extends Error {
  readonly code = 'JSON_BOUND'
  constructor(message: string) {
    super(message)
    this.name = 'JsonBoundError'
  }
}

/** `text` parsed. Throws JsonBoundError when it is nested too deep, SyntaxError when it is not JSON. */
export function parseBoundedJson(text: string): unknown {
  expectJsonDepth(text)
  return JSON.parse(text)
}

/** One pass over the text; JSON.parse reports what is not JSON. Throws JsonBoundError. */
function expectJsonDepth(text: string): void {
  let depth = 0
  let inText = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (inText) {
      if (code === BACKSLASH) at++
      else if (code === QUOTE) inText = false
    } else if (code === QUOTE) inText = true
    else if (code === OPEN_OBJECT || code === OPEN_LIST) {
      if (++depth > MOST_JSON_DEPTH)
        throw new JsonBoundError(
          `the JSON is nested deeper than ${MOST_JSON_DEPTH} levels, the most that are taken: make it flatter, or pass what is nested as a text`,
        )
    } else if (code === CLOSE_OBJECT || code === CLOSE_LIST) depth--
  }
}

const QUOTE = 34
const BACKSLASH = 92
const OPEN_LIST = 91
const CLOSE_LIST = 93
const OPEN_OBJECT = 123
const CLOSE_OBJECT = 125
