// The host's switch for passing packets on between interfaces: on while any platform of the host has a network, and off again
// after the last one when it was off before. What is not the sandboxes' traffic is kept out by the filter then.
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const SWITCH = '/proc/sys/net/ipv4/ip_forward'

export interface Forwarding {
  /** It was off before the first platform came. */
  readonly wasOff: boolean
  /** Throws Error when the kernel does not let it. */
  turnOn(): void
  /** This platform needs it no more. Idempotent. */
  release(): void
}

/** Who needs it is written down in `sharedFolder`, one file a platform, for each network namespace apart. */
export function keepForwarding(sharedFolder: string, platformId: string): Forwarding {
  const folder = join(sharedFolder, `forwarding-${namespaceNumber()}`)
  const own = join(folder, platformId)
  const wasOffFile = join(folder, 'was-off')
  if (!existsSync(folder) && readFileSync(SWITCH, 'latin1').trim() === '0') {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeFileSync(wasOffFile, '')
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  writeFileSync(own, '')
  return {
    wasOff: existsSync(wasOffFile),
    turnOn: () => writeFileSync(SWITCH, '1'),
    release: () => {
      rmSync(own, { force: true })
      if (!existsSync(folder)) return
      if (readdirSync(folder).some((name) => name !== 'was-off')) return
      if (existsSync(wasOffFile)) writeFileSync(SWITCH, '0')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function namespaceNumber(): string {
  return /\d+/.exec(readlinkSync('/proc/thread-self/ns/net'))?.[0] ?? '0'
}
