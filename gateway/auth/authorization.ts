// How a token of ours can be written into a request: the one form that is taken, and all the others, which must not reach a function
// either. Pure. RFC 9110, 11.4; RFC 6750, 2.1.

/** A word that begins as our tokens do. In `Authorization` it is always meant for us, and is never handed to a function. */
const OUR_WORD = /(?:^|[^A-Za-z0-9_~.+/-])fn_/i
/** A whole token of ours, wherever it stands: 43 characters of secret, with an id before them or without. Elsewhere a shorter word
 *  may be something else, such as the cookie `fn_session`. */
const OUR_TOKEN = /(?:^|[^A-Za-z0-9_-])fn_[A-Za-z0-9_-]{43,}/i
const BEARER = /^bearer[ \t]+(\S+)[ \t]*$/i
const BASIC = /^basic[ \t]+([A-Za-z0-9+/_-]+=*)/i

/** The token in `Bearer TOKEN`, whatever the case of the scheme and however much space there is; null: another form. */
export function bearerOf(authorization: string): string | null {
  return BEARER.exec(authorization)?.[1] ?? null
}

/** True when an `Authorization` value has a token of ours in it: behind any scheme or none, among parameters, as user or password.
 *  `own`: the platform's token, which may look like anything. */
export function isForUs(authorization: string, own: string): boolean {
  if (OUR_WORD.test(authorization) || authorization.includes(own)) return true
  const basic = BASIC.exec(authorization)?.[1]
  if (basic === undefined) return false
  const pair = Buffer.from(basic, 'base64').toString('latin1')
  return OUR_WORD.test(pair) || pair.includes(own)
}

/** True when another header, a cookie or a query has a token of ours in it. */
export function holdsToken(text: string, own: string): boolean {
  return OUR_TOKEN.test(text) || text.includes(own) || (text.includes('%') && holdsToken(unescaped(text), own))
}

/** Letters, digits and what stands between words; anything else stays. */
function unescaped(text: string): string {
  const once = text.replace(/%([2-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  // What is still escaped was escaped twice, and few programs decode twice.
  return once.replaceAll('%', ' ')
}
