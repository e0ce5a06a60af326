// What names may look like: functions, namespaces and aliases are DNS labels. Pure.
import { RegistryError } from './api.ts'

/** Where a call goes that names no namespace. */
export const DEFAULT_NAMESPACE = 'default'
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
/** The dashboard's own host name. */
const RESERVED: ReadonlySet<string> = new Set(['thaw'])

/** True for 1–63 characters a–z, 0–9 and inner hyphens (RFC 1123). */
export function isDnsLabel(text: string): boolean {
  return LABEL.test(text)
}

/** The namespace of `<namespace>/<name>`, the key of functions, queues, schedules and volumes; a text without `/` as it is. */
export function namespaceOf(key: string): string {
  const slash = key.indexOf('/')
  return slash < 0 ? key : key.slice(0, slash)
}

/** Throws NAME_INVALID, saying what a name looks like. */
export function checkFunctionName(name: string): void {
  checkLabel('function name', name)
  if (RESERVED.has(name)) throw new RegistryError('NAME_INVALID', `the function name ${name} is reserved`)
}

/** Throws NAME_INVALID. */
export function checkNamespace(namespace: string): void {
  checkLabel('namespace', namespace)
}

/** A name of digits alone would read as a version number. Throws NAME_INVALID. */
export function checkAliasName(alias: string): void {
  checkLabel('alias', alias)
  if (/^\d+$/.test(alias)) {
    throw new RegistryError('NAME_INVALID', `the alias ${alias} reads as a version number; take a name with a letter`)
  }
}

function checkLabel(what: string, text: string): void {
  if (isDnsLabel(text)) return
  throw new RegistryError(
    'NAME_INVALID',
    `${what} ${JSON.stringify(text.slice(0, 80))}: expected a DNS label (1 to 63 of a-z, 0-9 and -, no hyphen first or last)`,
  )
}
