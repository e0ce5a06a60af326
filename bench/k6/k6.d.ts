// The part of k6's modules that these scripts use, as types; k6 brings the modules themselves.
declare module 'k6' {
  export function check<T>(value: T, sets: Record<string, (value: T) => boolean>): boolean
  export function sleep(seconds: number): void
}
declare module 'k6/http' {
  export interface Response {
    readonly status: number
    readonly body: string | null
    readonly headers: Readonly<Record<string, string>>
    readonly timings: { readonly duration: number }
  }
  interface Params {
    readonly headers?: Readonly<Record<string, string>>
    readonly tags?: Readonly<Record<string, string>>
  }
  const http: {
    get(url: string, params?: Params): Response
    post(url: string, body: string, params?: Params): Response
    del(url: string, body?: null, params?: Params): Response
  }
  export default http
}
declare module 'k6/metrics' {
  export class Counter {
    constructor(name: string)
    add(value: number, tags?: Readonly<Record<string, string>>): void
  }
  export class Trend {
    constructor(name: string, isTime?: boolean)
    add(value: number, tags?: Readonly<Record<string, string>>): void
  }
}
declare const __ENV: Readonly<Record<string, string | undefined>>
declare const __ITER: number
declare const __VU: number
