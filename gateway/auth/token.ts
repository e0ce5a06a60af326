// Owns who a caller is: the platform's own token, or one of those made for a namespace. Both compared in constant time; neither
// is ever logged or returned.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Scope, TokenView } from '../../worker/registry/tokens.ts'
import { bearerOf, holdsToken, isForUs } from './authorization.ts'

/** Somebody who showed a valid token. */
export interface Caller {
  /** Id of the token; `token` for the platform's own. */
  readonly id: string
  /** For people. */
  readonly name: string
  /** The one namespace it is good for; null: all. */
  readonly namespace: string | null
  readonly scopes: readonly Scope[]
  readonly rate: TokenView['rate']
}

const PLATFORM: Caller = Object.freeze({
  id: 'token',
  name: 'platform',
  namespace: null,
  scopes: Object.freeze(['invoke', 'deploy', 'admin'] as const),
  rate: null,
})

/** `fn_` and 43 characters. */
const SHORTEST = 46

export class TokenCheck {
  readonly #digest: Buffer
  readonly #token: string
  readonly #find: (token: string) => TokenView | null
  /** No text that is shorter can have a token in it. */
  readonly #shortest: number

  /** `find`: the other tokens, null for one that is none; default: there are no others. */
  constructor(token: string, find: (token: string) => TokenView | null = () => null) {
    this.#token = token
    this.#shortest = Math.min(token.length, SHORTEST)
    this.#digest = digest(token)
    this.#find = find
  }

  /** True when an `Authorization` value carries a token of ours, valid or not, in whatever form: it must not reach a function. */
  isOurs(authorization: string): boolean {
    return isForUs(authorization, this.#token)
  }

  /** True when the value of another header, or a query, carries a token of ours. */
  isIn(text: string): boolean {
    return text.length >= this.#shortest && holdsToken(text, this.#token)
  }

  /** Who an `Authorization` value says one is; null: nobody we know. Takes the same time however much of it is right. */
  identify(authorization: string | null | undefined): Caller | null {
    const token = authorization ? bearerOf(authorization) : null
    if (token === null) return null
    return timingSafeEqual(digest(token), this.#digest) ? PLATFORM : this.#find(token)
  }

  /** True when an `Authorization` value carries a valid token. */
  isValid(authorization: string | null | undefined): boolean {
    return this.identify(authorization) !== null
  }
}

/** True when a caller has the scope; `admin` includes the others. */
export function hasScope(caller: Caller | null, scope: Scope): boolean {
  return caller !== null && (caller.scopes.includes(scope) || caller.scopes.includes('admin'))
}

// Digests have one length, which timingSafeEqual needs, and hide the token's own.
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
