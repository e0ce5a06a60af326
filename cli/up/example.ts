// What `npm start` shows: deploys functions/hello.ts through the front door, calls it, prints answer, times and what to try.
import { join } from 'node:path'
import pc from 'picocolors'
import { bundleHandler } from '../bundle/bundle.ts'
import { uploadBundle } from '../bundle/upload.ts'
import { createClient } from '../client.ts'
import { type Config, PROJECT_ROOT } from '../config.ts'
import { programName } from '../program-name.ts'
import type { Platform } from './platform.ts'

/** Throws when the deploy or the call fails. */
export async function runExample(platform: Platform, config: Config): Promise<void> {
  const client = createClient({ url: platform.url, token: platform.token, namespace: config.namespace })
  const bundle = await bundleHandler(join(PROJECT_ROOT, 'functions', 'hello.ts'), {})
  const deployed = await uploadBundle(client, bundle, {})
  const url = `${platform.url}/fn/${bundle.name}`
  const startedMs = performance.now()
  const response = await fetch(url)
  const body = await response.text()
  const ms = performance.now() - startedMs
  if (!response.ok) throw new Error(`GET ${url} answered ${response.status}: ${body}`)
  const again = performance.now()
  await (await fetch(url)).arrayBuffer()
  const warmMs = performance.now() - again
  const fn = programName(process.env, process.cwd())
  const lines = [
    '',
    `${pc.green('deployed')} functions/hello.ts as ${pc.bold(bundle.name)}, version ${deployed.version}`,
    `${pc.green('called')}   GET ${url}`,
    `  ${response.status} ${body.trim()}`,
    `  start ${response.headers.get('fn-start')}, ${ms.toFixed(1)} ms; the next call ${warmMs.toFixed(1)} ms`,
    `  ${response.headers.get('server-timing')}`,
    '',
    'try next:',
    `  curl -i ${url}`,
    `  ${fn} deploy functions/api        # a Hono app with several routes`,
    `  ${fn} invoke hello --meter        # CPU, memory and I/O of one call`,
    `  ${fn} logs hello ; ${fn} ps ; ${fn} doctor ; ${fn} --help`,
    '',
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}
