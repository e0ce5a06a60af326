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
        '  export const handler = async (event, context) => ({ statusCode: 200 })',
      ].join('\n'),
      hints: close === undefined ? [] : [`is ${close} the handler? export default ${close}`],
    },
  )
}

/** Names a CommonJS entry exports, as far as its text tells: `default` stands for `module.exports` itself. */
export function commonJsExports(source: string): string[] {
  const names = new Set<string>()
  for (const match of source.matchAll(/\bexports\s*(?:\.\s*([A-Za-z_$][\w$]*)|\[\s*['"]([^'"]+)['"]\s*\])\s*=(?!=)/g)) {
    names.add(match[1] ?? match[2]!)
  }
  for (const match of source.matchAll(/Object\.defineProperty\(\s*(?:module\.)?exports\s*,\s*['"]([^'"]+)['"]/g))
    names.add(match[1]!)
  const whole = /\bmodule\s*\.\s*exports\s*=(?!=)\s*(\{[^}]*\})?/.exec(source)
  if (whole) {
    if (whole[1] !== undefined && /[{,]\s*(async\s+)?handler\s*[,:}(]/.test(whole[1])) names.add('handler')
    else names.add('default')
  }
  names.delete('__esModule')
  return [...names]
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 8)
  return `${shown.join(', ')}${names.length > shown.length ? ', …' : ''}`
}
