// What a token of one namespace can upload: tars of any content, put by a deploy token of one namespace.

import type { Platform } from '../support/platform.ts'
import { rawMember, TAR_END } from '../support/raw-tar.ts'

export const EVIL = 'evil'

export interface Upload {
  readonly name: string
  /** CommonJS. */
  readonly source: string
  readonly map?: string | Buffer
  /** Text of fn.json; default a plain one. */
  readonly manifest?: string
}

export interface Answer {
  readonly status: number
  readonly text: string
}

export interface Attacker {
  readonly token: string
  deploy(upload: Upload): Promise<Answer>
  request(path: string, init?: RequestInit): Promise<Response>
}

/** A token with these scopes in a namespace, and what can be done with it. */
export async function attackerOf(platform: Platform, scopes: readonly string[], namespace = EVIL): Promise<Attacker> {
  const { token } = await platform.json<{ token: string }>(`/v1/tokens/${scopes.join('-')}`, {
    method: 'PUT',
    headers: { 'fn-namespace': namespace },
    body: JSON.stringify({ scopes }),
  })
  const request = (path: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers)
    headers.set('authorization', `Bearer ${token}`)
    return platform.request(path, { ...init, headers })
  }
  return {
    token,
    request,
    deploy: async ({ name, source, map, manifest = '{"entry":"x.js","form":"web"}' }) => {
      const members = [
        rawMember({ name: 'fn.json', body: manifest }),
        rawMember({ name: 'index.cjs', body: source }),
        ...(map === undefined ? [] : [rawMember({ name: 'index.cjs.map', body: map })]),
      ]
      const body = Buffer.concat([...members, TAR_END])
      const response = await request(`/v1/functions/${name}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/x-tar' },
        body,
      })
      return { status: response.status, text: await response.text() }
    },
  }
}

/** A web handler in CommonJS whose body is this. */
export function handler(body: string): string {
  return `module.exports={default:{fetch(request){${body}}}}`
}
