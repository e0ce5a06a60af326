// The host's switch for passing packets on between interfaces: on while any platform of the host has a network, and off again
// after the last one when it was off before. What the host did not pass on before, the filter keeps it from passing on then.
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { interfacesWith } from './links.ts'
import { INTERFACE_PREFIX } from './names.ts'

const SWITCH = '/proc/sys/net/ipv4/ip_forward'

export interface Forwarding {
  /** Interfaces there were when it was still off, between which nothing is to pass; none when somebody else had it on. */
  readonly apart: readonly string[]
  /** Throws Error when the kernel does not let it. */
  turnOn(): void
  /** This platform needs it no more. Idempotent. */
  release(): void
}

/** Who needs it is written down in `sharedFolder`, one file a platform, for each network namespace apart. */
export function keepForwarding(sharedFolder: string, platformId: string): Forwarding {
  const folder = join(sharedFolder, `forwarding-${namespaceNumber()}`)
  const own = join(folder, platformId)
  const wasOff = join(folder, 'was-off')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  forgetDead(sharedFolder, folder)
  const isAlone = readdirSync(folder).every((name) => name === 'was-off' || name === platformId)
  if (isAlone && readFileSync(SWITCH, 'latin1').trim() === '0') writeFileSync(wasOff, `${strangers().join('\n')}\n`)
  writeFileSync(own, '')
  const apart = existsSync(wasOff) ? readFileSync(wasOff, 'utf8').split('\n').filter(Boolean) : []
  return {
    apart,
    turnOn: () => writeFileSync(SWITCH, '1'),
    release: () => {
      rmSync(own, { force: true })
      forgetDead(sharedFolder, folder)
      if (!existsSync(folder) || readdirSync(folder).some((name) => name !== 'was-off')) return
      // An interface that came since may be somebody's who needs it on by now.
      if (existsSync(wasOff) && strangers().every((name) => apart.includes(name))) writeFileSync(SWITCH, '0')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A platform whose run folder is gone needs nothing any more. */
function forgetDead(sharedFolder: string, folder: string): void {
  if (!existsSync(folder)) return
  const platforms = readdirSync(folder).filter((name) => name !== 'was-off')
  for (const name of platforms) if (!existsSync(join(sharedFolder, name))) rmSync(join(folder, name), { force: true })
}

/** Interfaces that are no platform's. */
function strangers(): string[] {
  return interfacesWith('').filter(
    (name) => /^[\w.@-]+$/.test(name) && name !== 'lo' && !name.startsWith(INTERFACE_PREFIX),
  )
}

function namespaceNumber(): string {
  return /\d+/.exec(readlinkSync('/proc/thread-self/ns/net'))?.[0] ?? '0'
}
