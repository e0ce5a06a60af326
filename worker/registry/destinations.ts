// Where the end of a call may be told: a function or a URL. Pure.
import { isDnsLabel } from './names.ts'

export { type AllowList, parseAllowList } from '../../runtime/api.ts'

export type Destination =
  | { readonly kind: 'url'; readonly url: URL }
  /** Of the same namespace; `reference`: version or alias, null for latest. */
  | { readonly kind: 'function'; readonly name: string; readonly reference: string | null }

const MAX_CHARS = 2_048

/** Throws Error with a sentence: expected, got. */
export function parseDestination(text: string): Destination {
  const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text)
  if (text.length > MAX_CHARS) throw new Error(`expected at most ${MAX_CHARS} characters, got ${text.length}`)
  if (/^[a-z][a-z0-9+.-]*:/i.test(text)) {
    const url = URL.canParse(text) ? new URL(text) : null
    if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
      throw new Error(`expected a function or an http(s):// URL, got ${shown}`)
    if (url.username !== '' || url.password !== '')
      throw new Error('a URL with a user or password in it is not allowed')
    if (url.hash !== '') throw new Error(`a URL with a fragment is not allowed, got ${shown}`)
    return { kind: 'url', url }
  }
  const [name, reference = null, ...more] = text.split('@') as [string, ...string[]]
  const fits = isDnsLabel(name) && more.length === 0 && (reference === null || isDnsLabel(reference))
  if (!fits) throw new Error(`expected a function (NAME or NAME@ALIAS) or an http(s):// URL, got ${shown}`)
  return { kind: 'function', name, reference }
}
