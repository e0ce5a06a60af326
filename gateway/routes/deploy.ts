// Owns `PUT /v1/functions/{name}`: takes the tar apart and hands its parts to the deployer. Whatever it spooled to disk is
// gone afterwards, however it ended.
import { rm } from 'node:fs/promises'
import { checkAliasName, checkFunctionName } from '../../worker/registry/names.ts'
import { UPLOAD_BYTES } from '../control-gate.ts'
import { readUpload } from '../upload/read-upload.ts'
import { UploadTurns } from '../upload/upload-turns.ts'
import { functionUrl, versionView } from './function-view.ts'
import { namespaceOf, textOf } from './query.ts'
import type { ControlContext, ControlParts, Route } from './route.ts'

export function deployRoute(parts: ControlParts): Route {
  const turns = new UploadTurns()
  return {
    method: 'PUT',
    path: '/v1/functions/{name}',
    id: 'deployFunction',
    summary: 'Deploys: a new immutable version once it has loaded in a sandbox, and latest moved to it',
    query: { alias: 'an alias to point at it as well' },
    body: {
      type: 'application/x-tar',
      doc: 'fn.json, index.cjs, optionally index.cjs.map and members under node_modules/',
      schema: { type: 'string', format: 'binary', maxLength: UPLOAD_BYTES },
    },
    answers: {
      201: { doc: 'the new version', schema: 'Deployed' },
      200: { doc: 'this content was deployed before; latest was moved to it', schema: 'Deployed' },
      400: { doc: 'not a valid upload or configuration', schema: 'Problem' },
      408: { doc: 'the upload stood still, or was not over after ten minutes', schema: 'Problem' },
      422: { doc: 'the version does not load, with its stack; it is not kept', schema: 'Problem' },
    },
    handle: (context) => deploy(context, parts, turns),
  }
}

async function deploy(context: ControlContext, parts: ControlParts, turns: UploadTurns): Promise<Response> {
  const namespace = namespaceOf(context)
  const name = context.req.param('name') ?? ''
  checkFunctionName(name)
  const alias = textOf(context, 'alias')
  if (alias !== null) checkAliasName(alias)
  const done = await turns.take(namespace, context.env.outgoing)
  try {
    return await take(context, parts, { namespace, name, alias })
  } finally {
    done()
  }
}

async function take(
  context: ControlContext,
  parts: ControlParts,
  { namespace, name, alias }: { readonly namespace: string; readonly name: string; readonly alias: string | null },
): Promise<Response> {
  const upload = await readUpload(context.env.incoming, parts.stateDir, () => parts.deployer.expectRoom())
  try {
    const { version, created } = await parts.deployer.deploy({ namespace, name, alias, ...upload })
    context.header('Location', `/v1/functions/${name}`)
    context.header('Fn-Version', String(version.version))
    const url = functionUrl(namespace, name, context, parts)
    return context.json({ namespace, name, ...versionView(version), created, url } as never, created ? 201 : 200)
  } finally {
    if (upload.addonTar !== null) await rm(upload.addonTar, { force: true })
  }
}
