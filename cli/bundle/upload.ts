// Sends a bundle to the gateway and reports each step's time. Prints nothing.
import type { Client, ClientAnswer } from '../client.ts'
import { packBundle } from './archive.ts'
import type { Bundle } from './bundle.ts'

export interface UploadOptions {
  /** An alias that is to point at the new version besides `latest`. */
  readonly alias?: string
}

export interface Deployed {
  readonly name: string
  readonly version: number
  /** False: this content was there already, and `latest` was moved to it. */
  readonly created: boolean
  readonly uploadedBytes: number
  /** From the first byte sent to the last. */
  readonly uploadMs: number
  /** From the last byte to the answer: storing, and loading once in a sandbox. */
  readonly loadMs: number
  /** The answer as it came. */
  readonly answer: ClientAnswer
}

/** Deploys. Throws ClientError (e.g. 422 with the stack of code that does not load) | CliError PLATFORM_UNREACHABLE. */
export async function uploadBundle(client: Client, bundle: Bundle, options: UploadOptions = {}): Promise<Deployed> {
  const startMs = performance.now()
  let sentMs = startMs
  let uploadedBytes = 0
  const tar = packBundle(bundle)
  tar.on('data', (chunk: Buffer) => {
    uploadedBytes += chunk.length
    sentMs = performance.now()
  })
  // Counting must not start the flow before the request reads.
  tar.pause()
  const answer = await client.request('PUT', `/v1/functions/${encodeURIComponent(bundle.name)}`, {
    query: { alias: options.alias },
    headers: [['Content-Type', 'application/x-tar']],
    body: tar,
  })
  return {
    name: bundle.name,
    version: versionOf(answer),
    created: answer.status === 201,
    uploadedBytes,
    uploadMs: sentMs - startMs,
    loadMs: performance.now() - sentMs,
    answer,
  }
}

function versionOf(answer: ClientAnswer): number {
  const body = answer.json as { version?: unknown; latest?: unknown } | undefined
  const told = body?.version ?? body?.latest ?? answer.header('fn-version')
  return Number(told)
}
