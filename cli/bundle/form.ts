// Decides from an entry's exports how its handler is called. Pure.
import type { HandlerForm } from '../../runtime/api.ts'
import { CliError } from '../errors.ts'

/** `web` for a default export, `lambda` for one named `handler`; the default export wins. Throws CliError NO_HANDLER. */
export function detectForm(exports: readonly string[], shown: string): HandlerForm {
  if (exports.includes('default')) return 'web'
  if (exports.includes('handler')) return 'lambda'
  const close = exports.find((name) => /^(fetch|main|handle|onRequest|get|post|app)$/i.test(name))
  throw new CliError(
    'NO_HANDLER',
    exports.length === 0 ? `${shown} exports nothing` : `${shown} exports ${list(exports)}, but no handler`,
    {
      details: [
        'expected one of:',
        "  export default async (request) => new Response('hello')",
        "  export default { fetch(request, env, ctx) { return new Response('hello') } }",
        '  export default class { fetch(request, env, ctx) { … } }',
        "  export default fromNode(app)    (req, res) and http servers; import { fromNode } from 'thaw'",
        '  export const handler = async (event, context) => ({ statusCode: 200 })',
      ].join('\n'),
      hints: close === undefined ? [] : [`is ${close} the handler? export default ${close}`],
    },
  )
}

/** The form of a CommonJS entry: `lambda` where its text tells so, else `web`, and the sandbox looks at what there is once it has
 *  run: a bundle made by another tool hides its exports. Throws CliError NO_HANDLER where the text tells all and none will do. */
export function commonJsForm(source: string, shown: string): HandlerForm {
  const names = commonJsExports(source)
  return names.length === 0 ? 'web' : detectForm(names, shown)
}

/** What esbuild writes for those who read a bundle without running it. */
const ANNOTATION = /\b0\s*&&\s*\(?\s*module\s*\.\s*exports\s*=\s*\{([^}]*)\}/

/** Names a CommonJS entry exports, as far as its text tells: `default` stands for `module.exports` itself. */
export function commonJsExports(source: string): string[] {
  const annotated = ANNOTATION.exec(source)
  if (annotated !== null)
    return annotated[1]!
      .split(',')
      .map((name) => name.trim().replace(/:.*$/s, ''))
      .filter(Boolean)
  const names = new Set<string>()
  for (const match of source.matchAll(/\bexports\s*(?:\.\s*([A-Za-z_$][\w$]*)|\[\s*['"]([^'"]+)['"]\s*\])\s*=(?!=)/g)) {
    names.add(match[1] ?? match[2]!)
  }
  for (const match of source.matchAll(/Object\.defineProperty\(\s*(?:module\.)?exports\s*,\s*['"]([^'"]+)['"]/g))
    names.add(match[1]!)
  const whole = /\bmodule\s*\.\s*exports\s*=(?!=)\s*(\{[^}]*\})?/.exec(source)
  if (whole) {
    const isHandler = whole[1] !== undefined && /[{,]\s*(async\s+)?handler\s*[,:}(]/.test(whole[1])
    if (isHandler) names.add('handler')
    if (!isHandler || /[{,]\s*default\s*:/.test(whole[1]!)) names.add('default')
  }
  names.delete('__esModule')
  return [...names]
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 8)
  return `${shown.join(', ')}${names.length > shown.length ? ', …' : ''}`
}
