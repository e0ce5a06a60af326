// Attacks by callers: names, uploads, tokens, headers, bodies. callers.test.ts proves each.
import type { Attack } from './attacks.ts'

const row = <const Id extends string>(
  id: Id,
  tries: string,
  contained: string,
  family: Attack['family'] = 'callers',
): Attack & { readonly id: Id } => {
  return { id, family, tries, contained }
}

export const CALLER_ATTACKS = [
  row(
    'names',
    'leave the state directory by a name: of functions, aliases, namespaces, volumes, secrets, tokens, schedules, networks, ids',
    'refused before it is a path: names are DNS labels or identifiers',
  ),
  row(
    'dot-segments',
    'reach the control API through a function’s path: `..`, encoded once and twice, backslashes',
    '400, or a path of that function: invocations are matched on the raw target',
  ),
  row(
    'tar-members',
    'write files of the host by an upload: `..`, absolute names, links out, hard links, devices, doubled and unknown members',
    '400; nothing is unpacked outside its layer',
  ),
  row(
    'tar-sizes',
    'upload a tar whose sizes lie: 8 EiB, negative, cut off, gzip instead of tar',
    '400 or 413; what was taken is removed',
  ),
  row(
    'tokens',
    'guess tokens: near misses, prefixes, empty, very long, in a cookie, as basic',
    '401; compared in constant time, hashed at rest',
  ),
  row(
    'namespaces',
    'read and act across namespaces with a token of another: functions, records, results, logs, sandboxes, secrets',
    '403 or 404, the same whether it is there or not',
  ),
  row(
    'token-theft',
    'have a function see a caller’s token of the platform, or the platform’s own headers',
    'consumed; the function sees neither',
  ),
  row(
    'request-headers',
    'smuggle headers into a function: line ends, NUL, bare CR, two lengths, a length and chunks',
    '400 or connection closed; the function is not called',
  ),
  row(
    'zip-bomb',
    'send a compressed bomb as a body and as an upload',
    'never decompressed: a function sees the bytes as sent; 400 for an upload',
  ),
  row(
    'callbacks',
    'have the platform call itself or its host’s network: `Fn-Callback`, `onSuccess` to loopback, private, metadata addresses, by other spellings',
    'refused by the egress filter; nothing is connected to',
  ),
  row(
    'controls',
    'print what a terminal obeys: titles, clearing, hidden text, clipboard',
    'shown as escapes where a person reads; JSON elsewhere',
    'output',
  ),
] as const
