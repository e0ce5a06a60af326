// Owns the routes about the platform itself: alive, ready, metrics, what the host can enforce, configuration, OpenAPI, a front page.
import type { HostReport } from '../../runtime/api.ts'
import { GatewayError } from '../errors.ts'
import type { ControlParts, Route } from './route.ts'

/** `openApi`: the document's text. */
export function platformRoutes(parts: ControlParts, openApi: () => string): Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/doctor',
      id: 'getDoctor',
      summary: 'The host and which limits it can enforce, by limit name',
      answers: { 200: { doc: 'the report', schema: 'HostReport' } },
      handle: (context) => context.json(hostOf(parts) as never),
    },
    {
      method: 'GET',
      path: '/v1/workers',
      id: 'listWorkers',
      summary: 'Processes on the same Redis that run functions, and how busy they are; empty where there is no other',
      answers: { 200: { doc: 'workers', schema: 'Worker[]' } },
      handle: (context) => context.json(workersOf(parts) as never),
    },
    {
      method: 'GET',
      path: '/v1/config',
      id: 'getConfig',
      summary: 'The configuration in force',
      answers: { 200: { doc: 'the settings', schema: 'Setting[]' } },
      handle: (context) => context.json(parts.config as never),
    },
    ...openRoutes(parts, openApi),
  ]
}

function openRoutes(parts: ControlParts, openApi: () => string): Route[] {
  return [
    {
      method: 'GET',
      path: '/healthz',
      id: 'getHealth',
      summary: 'Alive',
      open: true,
      answers: { 200: { doc: 'alive', schema: 'Health' } },
      handle: (context) => context.json({ status: 'ok', version: parts.version }),
    },
    {
      method: 'GET',
      path: '/readyz',
      id: 'getReadiness',
      summary: 'Ready to take all kinds of calls',
      open: true,
      answers: { 200: { doc: 'ready', schema: 'Readiness' }, 503: { doc: 'not ready, and why', schema: 'Readiness' } },
      handle: (context) => {
        const state = parts.ready()
        if (!state.ready) context.header('Retry-After', '1')
        return context.json(state, state.ready ? 200 : 503)
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      id: 'getMetrics',
      summary: 'Prometheus metrics; open on loopback',
      open: true,
      answers: { 200: { doc: 'text exposition format', type: 'text/plain' } },
      handle: async (context) => {
        context.header('Content-Type', parts.metrics.contentType)
        return context.body(await parts.metrics.render())
      },
    },
    {
      method: 'GET',
      path: '/openapi.json',
      id: 'getOpenApi',
      summary: 'This document',
      open: true,
      answers: { 200: { doc: 'OpenAPI 3.1', type: 'application/json' } },
      handle: (context) => {
        context.header('Content-Type', 'application/json')
        return context.body(openApi())
      },
    },
    {
      method: 'GET',
      path: '/',
      id: 'getFrontPage',
      summary: 'What this is',
      open: true,
      answers: { 200: { doc: 'a page', type: 'text/html' } },
      handle: (context) => {
        context.header(
          'Content-Security-Policy',
          "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        )
        return context.html(frontPage(parts.version))
      },
    },
  ]
}

/** A gateway has no host of its own to report on: the first worker's stands for all. Throws GatewayError NOT_READY. */
function hostOf({ runtimeHost, fleet }: ControlParts): HostReport {
  const host = runtimeHost ?? fleet?.members().find(({ machine }) => machine !== null)?.machine
  if (host) return host
  throw new GatewayError('NOT_READY', 'no worker is registered; start one on the same Redis: fn worker')
}

function workersOf({ fleet }: ControlParts) {
  const members = fleet?.members() ?? []
  return members.flatMap(({ filesUrl: _url, secretKeyId: _key, machine, load, ...member }) =>
    machine === null ? [] : [{ ...member, cores: machine.cores, memoryBytes: machine.memoryBytes, load }],
  )
}

function frontPage(version: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Thaw</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}code{background:#eee;padding:.1em .3em}</style>
<h1>Thaw ${version}</h1>
<p>A serverless function runner. Functions answer at <code>/fn/NAME</code>.</p>
<pre><code>fn deploy ./hello.ts
fn invoke hello
fn ls
fn ps</code></pre>
<p><a href="/openapi.json">API description</a> · <a href="/healthz">health</a> · <a href="/readyz">readiness</a> · <a href="/metrics">metrics</a></p>
</html>
`
}
