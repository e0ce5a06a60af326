// Owns who a caller is: the platform's one token, compared in constant time. Never logs or returns it.
import { createHash, timingSafeEqual } from 'node:crypto'

/** Everything that begins like this is meant for us and is never handed to a function. */
export const TOKEN_PREFIX = 'fn_'

export class TokenCheck {
  readonly #digest: Buffer
  readonly #token: string

  constructor(token: string) {
    this.#token = token
    this.#digest = digest(token)
  }

  /** True when an `Authorization` value carries a token of ours, valid or not: it must not reach a function. */
  readonly isOurs = (authorization: string): boolean => {
    const token = bearerOf(authorization)
    return token !== null && (token.startsWith(TOKEN_PREFIX) || token === this.#token)
  }

  /** True when an `Authorization` value carries the valid token. Takes the same time however much of it is right. */
  isValid(authorization: string | null | undefined): boolean {
    const token = authorization ? bearerOf(authorization) : null
    return token !== null && timingSafeEqual(digest(token), this.#digest)
  }
}

function bearerOf(authorization: string): string | null {
  if (authorization.length < 8 || authorization.slice(0, 7).toLowerCase() !== 'bearer ') return null
  return authorization.slice(7).trim()
}

// Digests have one length, which timingSafeEqual needs, and hide the token's own.
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
