// The addresses of a platform's sandboxes: 1,022 out of the range for benchmarks (198.18.0.0/15, RFC 2544), which is nobody's on
// any network, chosen so that no two platforms of a host and no route of it overlap. Pure.
import { addressNumber, addressText, networkRange } from './addresses.ts'

const FIRST = addressNumber('198.18.0.0')
const SUBNETS = 128
const SIZE = 1024
const PREFIX_BITS = 22

export interface Subnet {
  /** `a.b.c.d/22` */
  readonly network: string
  /** The platform's own address. */
  readonly gateway: string
  readonly addresses: readonly number[]
}

/** The subnet of a platform with this number (its region of user ids: two platforms of a host never have the same), or another
 *  that is free where a route of the host takes it. Null: the host uses them all. */
export function chooseSubnet(platform: number, platforms: number, routes: readonly string[]): Subnet | null {
  const taken = routes.map(networkRange)
  for (let index = platform; index < SUBNETS; index += platforms) {
    const first = FIRST + index * SIZE
    const last = first + SIZE - 1
    if (taken.some((route) => route.first <= last && route.last >= first)) continue
    const addresses = Array.from({ length: SIZE - 3 }, (_none, offset) => first + 2 + offset)
    return { network: `${addressText(first)}/${PREFIX_BITS}`, gateway: addressText(first + 1), addresses }
  }
  return null
}

/** Networks the host has routes to, but the default one, from the text of /proc/net/route (little-endian hex). */
export function parseRoutes(text: string): string[] {
  const number = (hex: string) => Number.parseInt(hex.match(/../g)?.toReversed().join('') ?? '0', 16)
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter((fields) => fields.length > 7 && fields[7] !== '00000000')
    .map((fields) => {
      const bits = number(fields[7] ?? '')
        .toString(2)
        .replaceAll('0', '').length
      return `${addressText(number(fields[1] ?? ''))}/${bits}`
    })
}
