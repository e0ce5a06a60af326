// Settings of the kernel that bound something for the whole machine and are lower than what sandboxes may come to within their
// own limits: raised while any platform of the host runs, and back as they were after the last one. Never lowers anything.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LimitSupport } from '../api.ts'

/** A setting that must be high enough for memory limits to be met first. */
export interface NeededSetting {
  /** Row of `docs/security.md` and of `fn doctor`. */
  readonly row: string
  /** Below /proc/sys. */
  readonly name: string
  /** Each of its numbers must be at least this. */
  readonly least: number
  /** What holds a sandbox back instead, once it is. */
  readonly heldBy: string
}

export interface KernelSettings {
  /** Each row as it is now, for `fn doctor`. */
  report(): Record<string, LimitSupport>
  /** This platform no longer needs them. Idempotent. */
  release(): void
}

/** Raises what is too low. Which platforms need it is noted in `sharedFolder`, one file a platform. */
export function keepSettings(
  needed: readonly NeededSetting[],
  sharedFolder: string,
  platformId: string,
  root = '/proc/sys',
): KernelSettings {
  const folder = join(sharedFolder, 'settings')
  const users = join(folder, 'users')
  mkdirSync(users, { recursive: true, mode: 0o700 })
  writeFileSync(join(users, platformId), '')
  for (const setting of needed) raise(setting, join(root, setting.name), join(folder, fileName(setting)))
  return {
    report: () =>
      Object.fromEntries(needed.map((setting) => [setting.row, reportOf(setting, join(root, setting.name))])),
    release: () => {
      if (!existsSync(users)) return
      rmSync(join(users, platformId), { force: true })
      // A platform whose run folder is gone has ended.
      for (const id of readdirSync(users))
        if (!existsSync(join(sharedFolder, id))) rmSync(join(users, id), { force: true })
      if (readdirSync(users).length > 0) return
      for (const setting of needed) restore(join(root, setting.name), join(folder, fileName(setting)))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function fileName({ name }: NeededSetting): string {
  return name.replaceAll('/', '.')
}

/** `record`: what it was, and what it became, a line each. */
function raise({ least }: NeededSetting, path: string, record: string): void {
  const before = readSetting(path)
  if (before === null || lowest(before) >= least) return
  const raised = before.split(/\s+/).map((value) => String(Math.max(Number(value), least)))
  // ORDER: written down first; a setting that could not be raised is still what it was.
  const first = existsSync(record) ? readFileSync(record, 'latin1').split('\n')[0]! : before
  writeFileSync(record, `${first}\n${raised.join(' ')}\n`)
  try {
    writeFileSync(path, raised.join(' '))
  } catch {
    // `report` says so.
  }
}

function restore(path: string, record: string): void {
  if (!existsSync(record)) return
  const [before, raised] = readFileSync(record, 'latin1').split('\n')
  // Changed by something else since: left as it is.
  if (before === undefined || readSetting(path) !== raised) return
  try {
    writeFileSync(path, before)
  } catch {
    // It stays higher than it was, which does no harm.
  }
}

function reportOf({ name, least, heldBy }: NeededSetting, path: string): LimitSupport {
  const now = readSetting(path)
  const dotted = name.replaceAll('/', '.')
  if (now === null) return { enforced: true, how: `this host has no ${dotted} of its own; ${heldBy}` }
  if (lowest(now) >= least) return { enforced: true, how: `${heldBy}; ${dotted} is ${now}` }
  const how = `${dotted} is ${now}: sandboxes together can use it up within their own limits`
  return {
    enforced: false,
    how,
    fix: `sysctl -w ${dotted}=${now
      .split(' ')
      .map((value) => Math.max(Number(value), least))
      .join(',')}`,
  }
}

/** Its numbers, one space between; null where there is none. */
function readSetting(path: string): string | null {
  try {
    return readFileSync(path, 'latin1').trim().split(/\s+/).join(' ')
  } catch {
    return null
  }
}

function lowest(text: string): number {
  return Math.min(...text.split(' ').map(Number))
}
