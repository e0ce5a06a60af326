// Cuts the platform's own frames off a stack that came from inside a sandbox.

/** Where the platform's own frames begin. The white space before `at` is bounded and has no line feed in it: the text is hostile,
 *  and `\s+` over thousands of empty lines would cost the square of their number. */
const PLATFORM_FRAME = /\n[ \t]{1,16}at [^\n]*\/runtime\/bootstrap\.cjs:/

/** A stack without the frames of the platform that called the handler. */
export function ownFrames(stack: string): string {
  const at = stack.search(PLATFORM_FRAME)
  return at < 0 ? stack : stack.slice(0, at)
}
