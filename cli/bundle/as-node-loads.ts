// Places where what esbuild writes and what Node does differ at run time, mended in the output. Lines stay where they are, so the
// source map holds.

/** esbuild's look-up of a name made at run time among the modules that may be meant. */
const LOOKS_UP = '\n  var fn = map[path];\n'
/** Node tries endings, and TypeScript's sources stand for what they compile to. */
const LOOKS_UP_AS_NODE = `
  var fn = [path, ...[".js", ".json", ".cjs", ".mjs", ".ts", ".tsx", "/index.js", "/index.json", "/index.ts"].map((end) => path + end), path.replace(/\\.([cm]?)js$/, ".$1ts")].map((name) => map[name]).find(Boolean);
`
/** A module that awaits while it loads; its function is the variable before. */
const AWAITS = /^var (init_[\w$]+) = __esm\(\{\n {2}async "([^"]+)"\(\) \{/gm
const THROWS =
  'function __fn_awaits(name) { throw Object.assign(new Error("require() cannot be used on an ES module with a top-level await: " + name), { code: "ERR_REQUIRE_ASYNC_MODULE" }); }'

/** `import(name)` of a name made at run time, which takes URLs as well; the name in its place is as long, so that columns stay. */
const IMPORTS_COMPUTED = /(=> __toESM\()require(\((?!["'`)]))/g
const TAKES_URLS =
  'function __fn_im(name) { return require(/^file:/.test(name) ? process.getBuiltinModule("url").fileURLToPath(String(name)) : name); }'

/** A `require` of a module that awaits throws as in Node, where esbuild would hand out what is not loaded yet; a `require` of a name
 *  made at run time finds modules without their endings, an `import` of one takes URLs. */
export function asNodeLoads(output: Buffer): Buffer {
  const text = output.toString()
  const hasLookUp = text.includes(LOOKS_UP)
  const added: string[] = []
  const awaiting = [...text.matchAll(AWAITS)].filter(([, init]) => text.includes(`(${init}(), __toCommonJS(`))
  let mended = text.replace(LOOKS_UP, () => LOOKS_UP_AS_NODE)
  for (const [, init, path] of awaiting) {
    const required = new RegExp(`\\(${init!.replaceAll('$', '\\$&')}\\(\\), __toCommonJS\\([\\w$]+\\)\\)`, 'g')
    mended = mended.replace(required, () => `__fn_awaits(${JSON.stringify(path)})`)
  }
  if (awaiting.length > 0) added.push(THROWS)
  if (IMPORTS_COMPUTED.test(mended)) added.push(TAKES_URLS)
  mended = mended.replace(IMPORTS_COMPUTED, '$1__fn_im$2')
  if (added.length === 0) return hasLookUp ? Buffer.from(mended) : output
  // A function is there before the statements above it: no line moves.
  const end = mended.lastIndexOf(';return __fn_exports})()')
  const functions = added.join(' ')
  return Buffer.from(end < 0 ? `${mended}\n${functions}\n` : `${mended.slice(0, end)};${functions}${mended.slice(end)}`)
}
