// Text as a terminal may have it: what functions print and throw reaches people's terminals, which obey it. Pure.

const ESCAPE = '\\u001b\\['
/** Line feeds and tabs; colours and bold, of the command line's own or of a function's, but not what hides text. */
const SAFE_STYLE = `${ESCAPE}(?:(?:0|1|2|3|4|7|2[2-9]|3[0-79]|4[0-79]|9[0-7])(?:;(?:0|1|2|3|4|7|2[2-9]|3[0-79]|4[0-79]|9[0-7]))*)?m`
/** Controls (C0, DEL, C1), line ends that overwrite, and what turns the direction of text around. */
const UNSAFE = '[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u202a-\\u202e\\u2066-\\u2069]'
/** What ends a style: all, bold or dim, the others, a colour, a background. */
const ENDS = ['0', '22', '23', '24', '25', '26', '27', '28', '29', '39', '49'].map((code) => `\u001b[${code}m`)
const EITHER = new RegExp(`(\\r(?=\\n|$))|(${SAFE_STYLE})|(${UNSAFE})`, 'g')

/** For a terminal what `terminalText` makes of it; for anything else the text itself. */
export function textFor(stream: { readonly isTTY?: boolean }, text: string): string {
  return stream.isTTY === true ? terminalText(text) : text
}

/** The text with every character that would move the cursor, set the title, hide or answer something shown as `\\u001b`; colours
 *  stay, and end with the text. Text without any is returned as it is. */
export function terminalText(text: string): string {
  let styled = false
  const safe = text.replace(EITHER, (_match, lineEnd?: string, style?: string, unsafe?: string) => {
    if (lineEnd !== undefined) return ''
    if (style === undefined) return `\\u${unsafe!.charCodeAt(0).toString(16).padStart(4, '0')}`
    styled = true
    return style
  })
  return styled && !ENDS.some((end) => safe.endsWith(end)) ? `${safe}\u001b[0m` : safe
}
