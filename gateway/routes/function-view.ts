// Owns how functions and versions look as JSON. Pure.
import type { FunctionVersion, Worker } from '../../worker/api.ts'
import type { FunctionEntry } from '../../worker/registry/api.ts'
import { DEFAULT_NAMESPACE } from '../../worker/registry/names.ts'
import type { ControlContext, ControlParts } from './route.ts'

/** A function as JSON. */
export function functionView(entry: FunctionEntry, context: ControlContext, parts: ControlParts) {
  const { namespace, name, createdAt, updatedAt, versions, aliases } = entry
  return {
    namespace,
    name,
    createdAt,
    updatedAt,
    latest: latestOf(entry),
    versions: versions.map(versionView),
    aliases,
    url: functionUrl(namespace, name, context, parts),
  }
}

/** What new sandboxes of the newest version that callers get are made from, and why always cold where that is so; null while
 *  no version has callers. */
export async function startsView(entry: FunctionEntry, worker: Worker) {
  const weights = entry.aliases.latest?.weights ?? {}
  const version = entry.versions.findLast((candidate) => (weights[candidate.version] ?? 0) > 0)
  if (version === undefined) return null
  const reason = await worker.coldReason(version)
  return { version: version.version, from: reason === null ? 'stem' : 'cold', reason }
}

/** What its queue holds; null while nobody can tell (no durable lane, or Redis is away). */
export async function queueView({ namespace, name }: FunctionEntry, lane: ControlParts['lane']) {
  if (!lane?.available()) return null
  return await lane.queueState(namespace, name).catch(() => null)
}

/** A version as JSON, within its function. */
export function versionView({ version, image, createdAt, config }: FunctionVersion) {
  return { version, image, createdAt, config }
}

/** The version `latest` points at; null while it splits traffic. */
function latestOf(entry: FunctionEntry): number | null {
  const weights = Object.keys(entry.aliases.latest?.weights ?? {})
  return weights.length === 1 ? Number(weights[0]) : null
}

/** Where a function answers, under the host the caller used. */
export function functionUrl(namespace: string, name: string, context: ControlContext, parts: ControlParts): string {
  const host = context.env.incoming.headers.host ?? 'localhost'
  const proto = parts.secure ? 'https' : 'http'
  if (namespace === DEFAULT_NAMESPACE) return `${proto}://${host}/fn/${name}`
  const port = /:\d+$/.exec(host)?.[0] ?? ''
  return `${proto}://${name}.${namespace}.localhost${port}/`
}
